package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"phantom/api/client"
	"phantom/artifact/bundle"
)

func (p *program) artifactPull() *cobra.Command {
	var to, archive string
	cmd := &cobra.Command{
		Use: "pull DIGEST", Short: "Get an artifact's files", Args: takes(1, 1, "an artifact's digest: sha256:…"),
		Long: `Get an artifact's files, verified by their digest, into a new folder; or with --tar as the one tar that they
are stored as.`,
		Example: `  phantom artifact pull sha256:… --to digits-2
  phantom artifact pull sha256:… --tar digits-2.tar`,
		RunE: p.does(func(ctx context.Context, args []string) error {
			digest := args[0]
			if len(digest) != len("sha256:")+2*sha256.Size || !strings.HasPrefix(digest, "sha256:") {
				return usagef("%q is no digest: accepted is sha256: and 64 hex digits; `phantom model versions MODEL -o json` shows them", digest)
			}
			if archive != "" {
				return p.pullTar(ctx, digest, archive)
			}
			if to == "" {
				to = strings.TrimPrefix(digest, "sha256:")[:12]
			}
			return p.pullFiles(ctx, digest, to)
		}),
	}
	cmd.Flags().StringVar(&to, "to", "", "the folder to make (default: the digest's first 12 digits)")
	cmd.Flags().StringVar(&archive, "tar", "", "write the tar here instead; - for standard output")
	cmd.MarkFlagsMutuallyExclusive("to", "tar")
	return cmd
}

// fetch copies an artifact. What was copied is the artifact only when there is no error.
func (p *program) fetch(ctx context.Context, digest string, to io.Writer) error {
	response, err := p.api.Stream(ctx, client.Request{Path: artifactsPath + "/" + url.PathEscape(digest)})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(to, sum), response.Body); err != nil {
		return fmt.Errorf("%w: the download broke off: %w", client.ErrUnreachable, err)
	}
	if came := "sha256:" + hex.EncodeToString(sum.Sum(nil)); came != digest {
		return fmt.Errorf("%s came instead of %s: pull again", came, digest)
	}
	return nil
}

// pullTar writes a file that appears when it is whole.
func (p *program) pullTar(ctx context.Context, digest, path string) error {
	if path == "-" {
		return p.fetch(ctx, digest, p.out)
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".phantom-pull-*")
	if err != nil {
		return &failure{exitUsage, err.Error()}
	}
	defer os.Remove(file.Name())
	err = errors.Join(p.fetch(ctx, digest, file), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err == nil {
		p.line("%s", path)
	}
	return err
}

// pullFiles makes a folder that appears when it is whole.
func (p *program) pullFiles(ctx context.Context, digest, folder string) error {
	if _, err := os.Lstat(folder); !errors.Is(err, fs.ErrNotExist) {
		return usagef("%s is there already; --to names another folder", folder)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(folder), ".phantom-pull-*")
	if err != nil {
		return &failure{exitUsage, err.Error()}
	}
	defer os.RemoveAll(fresh)
	file, err := os.CreateTemp("", "phantom-pull-*")
	if err != nil {
		return err
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}()
	if err := p.fetch(ctx, digest, file); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	names, err := unpack(file, fresh)
	if errors.Is(err, bundle.ErrMalformed) {
		return &failure{exitFailed, digest + " is no tar of files; --tar FILE gets it as it is"}
	}
	if err == nil {
		err = os.Chmod(fresh, 0o755)
	}
	if err == nil {
		err = os.Rename(fresh, folder)
	}
	for _, name := range names {
		if err == nil {
			p.line("%s", filepath.Join(folder, filepath.FromSlash(name)))
		}
	}
	return err
}

// unpack writes a bundle's files below a folder.
func unpack(r io.Reader, folder string) ([]string, error) {
	var names []string
	err := bundle.Walk(r, func(name string, _ int64, body io.Reader) error {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, body)
		names = append(names, name)
		return errors.Join(err, file.Close())
	})
	return names, err
}
