package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"phantom/api/client"
	"phantom/artifact/bundle"
)

func (p *program) artifactCommand() *cobra.Command {
	group := p.group("artifact", "Bring model files in, and get them back", p.artifactPush(), p.artifactPull())
	group.Long = `Bring model files in, and get them back. An artifact is one tar of a model's files, named by its digest: the
same files are the same artifact. What can be deployed has model.onnx, signature.json (inputs and outputs),
golden.json (rows of inputs with the answers that the model must give) and, for a classifier, labels.json.`
	return group
}

// stored is what the API says of an upload.
type stored struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

func (p *program) artifactPush() *cobra.Command {
	return &cobra.Command{
		Use: "push FILE…", Short: "Store files as one artifact, and print its digest", Args: takes(1, -1, "files, a folder, or a tar"),
		Long: `Store files as one artifact, and print its digest. A folder stands for the files in it; a single .tar that was
pulled is sent as it is. A version can be made of an artifact that has these files, by these names:

  model.onnx      the graph, opset 13 or later, with one FP32 input
  signature.json  its input and outputs, named as in the graph; -1 is the batch:
                  {"inputs":[{"name":"x","datatype":"FP32","shape":[-1,4]}],
                   "outputs":[{"name":"y","datatype":"FP32","shape":[-1,3]}]}
  golden.json     some rows, and what the model answers where it was trained:
                  {"inputs":[[5.1,3.5,1.4,0.2]],"outputs":[[0.98,0.01,0.01]],"tolerance":0.0001}
  labels.json     for a classifier, the names of its classes: ["setosa","versicolor","virginica"]

No server takes a model that does not give its golden answers, so they are not made up here. docs/models.md has the
lines of Python that write the files.`,
		Example: `  phantom artifact push model.onnx signature.json golden.json labels.json
  phantom model register digits --artifact sha256:…`,
		RunE: p.does(func(ctx context.Context, args []string) error {
			write, lacking, err := pushed(args)
			if err != nil {
				return err
			}
			raw, err := p.upload(ctx, write)
			if err != nil {
				return err
			}
			if p.json() {
				return p.print(raw)
			}
			s, err := decode[stored](raw, artifactsPath)
			if err != nil {
				return err
			}
			p.line("%s", s.Digest)
			if lacking != "" {
				p.note("%s stored, but no version can be made of it: %s; push the files together, `phantom artifact push --help` shows their forms",
					humanize.IBytes(uint64(max(0, s.Size))), lacking)
				return nil
			}
			p.note("%s stored; `phantom model register MODEL --artifact %s` makes a version of it", humanize.IBytes(uint64(max(0, s.Size))), s.Digest)
			return nil
		}),
	}
}

const artifactsPath = "/api/v1/artifacts"

// upload streams what write writes, and compares the digest of what arrived with that of what was sent.
func (p *program) upload(ctx context.Context, write func(io.Writer) error) (json.RawMessage, error) {
	from, to := io.Pipe()
	sum := sha256.New()
	written := make(chan error, 1)
	go func() {
		err := write(io.MultiWriter(to, sum))
		to.CloseWithError(err)
		written <- err
	}()
	var raw json.RawMessage
	err := p.api.Do(ctx, client.Request{
		Method: http.MethodPost, Path: artifactsPath, Body: from,
		// The server refuses what it does not take before it is sent.
		Header: http.Header{"Content-Type": {"application/octet-stream"}, "Expect": {"100-continue"}},
	}, &raw)
	from.CloseWithError(errUnread)
	// A server that has refused reads no more, and the transport closes what it read from: its answer counts.
	if failed := <-written; failed != nil && !errors.Is(failed, errUnread) && !errors.Is(failed, io.ErrClosedPipe) {
		return nil, fmt.Errorf("reading what to push: %w", failed)
	}
	if err != nil {
		return nil, err
	}
	s, err := decode[stored](raw, artifactsPath)
	if sent := "sha256:" + hex.EncodeToString(sum.Sum(nil)); err == nil && s.Digest != sent {
		err = fmt.Errorf("%s arrived, not %s: the line is broken; push again", s.Digest, sent)
	}
	return raw, err
}

var errUnread = errors.New("the server reads no more")

// pushed is what the arguments stand for, as a writer of the artifact's bytes, and what they lack to be registered. What is
// in a tar is left to the server.
func pushed(paths []string) (write func(io.Writer) error, lacking string, err error) {
	if len(paths) == 1 && filepath.Ext(paths[0]) == ".tar" {
		file, err := os.Open(paths[0])
		if err != nil {
			return nil, "", &failure{exitUsage, err.Error()}
		}
		return func(w io.Writer) error {
			defer file.Close()
			_, err := io.Copy(w, file)
			return err
		}, "", nil
	}
	var entries []bundle.Entry
	for _, path := range paths {
		found, err := entriesOf(path)
		if err != nil {
			return nil, "", &failure{exitUsage, err.Error()}
		}
		entries = append(entries, found...)
	}
	if len(entries) == 0 {
		return nil, "", usagef("%s holds no files", strings.Join(paths, ", "))
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name
	}
	return func(w io.Writer) error { return bundle.Write(w, entries) }, bundle.Lacking(names, "model.onnx", "signature.json", "golden.json"), nil
}

// entriesOf is a file under its own name, or the files of a folder under theirs within it.
func entriesOf(path string) ([]bundle.Entry, error) {
	var entries []bundle.Entry
	top, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	base := path
	if !top.IsDir() {
		base = filepath.Dir(path)
	}
	err = filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no plain file", file)
		}
		name, err := filepath.Rel(base, file)
		entries = append(entries, bundle.Entry{Name: filepath.ToSlash(name), Size: info.Size(), Open: func() (io.ReadCloser, error) {
			return os.Open(file)
		}})
		return err
	})
	return entries, err
}
