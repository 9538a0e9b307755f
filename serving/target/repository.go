package target

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"phantom/artifact"
	"phantom/serving/durable"
)

// place makes the files of a model appear in the repository as one: they are written and synced in a
// folder beside it, which is then renamed. Servers skip names that begin with a dot.
func (t *Target) place(name string, files []artifact.File) error {
	if err := checkFiles(name, files); err != nil {
		return err
	}
	folder := filepath.Join(t.repository, name)
	if same(folder, files) {
		return nil
	}
	if err := os.MkdirAll(t.repository, 0o755); err != nil {
		return unavailable("make the repository of "+string(t.name), err)
	}
	if err := t.sweep(name); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(t.repository, ".new-"+name+"-")
	if err != nil {
		return unavailable("write "+name+" into the repository of "+string(t.name), err)
	}
	err = fill(fresh, files)
	if err == nil {
		err = t.exchange(folder, fresh, name)
	}
	if err != nil {
		return errors.Join(unavailable("write "+name+" into the repository of "+string(t.name), err), t.sweep(name))
	}
	return nil
}

// exchange puts fresh in the place of folder. A crash between the two renames leaves no folder, which the
// next Load writes again.
func (t *Target) exchange(folder, fresh, name string) error {
	old := filepath.Join(t.repository, ".old-"+name+"-")
	err := os.Rename(folder, old)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(fresh, folder); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(old), durable.SyncFolder(t.repository))
}

// clear removes the model's files, and whatever a crash left of them.
func (t *Target) clear(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(t.repository, name)); err != nil {
		return unavailable("remove "+name+" from the repository of "+string(t.name), err)
	}
	if err := t.sweep(name); err != nil {
		return err
	}
	if err := durable.SyncFolder(t.repository); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unavailable("remove "+name+" from the repository of "+string(t.name), err)
	}
	return nil
}

// sweep removes the temporary folders of this name that a crash left.
func (t *Target) sweep(name string) error {
	entries, err := os.ReadDir(t.repository)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unavailable("sweep the repository of "+string(t.name), err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".new-"+name+"-") && entry.Name() != ".old-"+name+"-" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(t.repository, entry.Name())); err != nil {
			return unavailable("sweep the repository of "+string(t.name), err)
		}
	}
	return nil
}

func fill(folder string, files []artifact.File) error {
	for _, file := range files {
		path := filepath.Join(folder, filepath.FromSlash(file.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := durable.WriteFile(path, file.Body); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o644); err != nil { // the server may be another user
			return err
		}
	}
	return os.Chmod(folder, 0o755)
}

// same reports whether the folder holds exactly these files.
func same(folder string, files []artifact.File) bool {
	count := 0
	err := filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			count++
		}
		return err
	})
	if err != nil || count != len(files) {
		return false
	}
	for _, file := range files {
		body, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(file.Name)))
		if err != nil || !bytes.Equal(body, file.Body) {
			return false
		}
	}
	return true
}

func checkFiles(name string, files []artifact.File) error {
	if err := checkName(name); err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%w: %s has no files", ErrRefused, name)
	}
	for _, file := range files {
		if !filepath.IsLocal(filepath.FromSlash(file.Name)) {
			return fmt.Errorf("%w: %s has a file %q outside its folder", ErrRefused, name, file.Name)
		}
	}
	return nil
}

func checkName(name string) error {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, `/\`) {
		return fmt.Errorf("%w: %q is not a model name", ErrRefused, name)
	}
	return nil
}

func unavailable(tried string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, tried, err)
}
