package stack

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that PostgreSQL runs as: this process's own, or, since PostgreSQL refuses to
// run as root, an unprivileged one.
type account struct {
	name     string
	uid, gid int
	switched bool // another user than this process's
}

func unprivileged() (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(found.Uid)
		gid, gidErr := strconv.Atoi(found.Gid)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return account{name: name, uid: uid, gid: gid, switched: true}, nil
		}
	}
	return account{}, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody " +
		"to run it as: make one of them, run as another user, or set DATABASE_URL")
}

// apply makes a command run as this user, in a folder that it can reach.
func (a account) apply(cmd *exec.Cmd, folder string) {
	cmd.Dir = folder
	if a.switched {
		cmd.Dir = "/" // the folder is set before the user
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
			Uid: uint32(a.uid), // a user id
			Gid: uint32(a.gid), // a group id
		}}
		cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C", "LC_ALL=C"}
	}
}

// place is a folder of this user's, or the one that stands in for it.
type place struct {
	path  string
	moved bool
}

// place makes a folder for this user. Where the user cannot reach the wanted one, it is a named folder
// under /var/tmp, and the file <wanted>.location tells its name.
func (a account) place(wanted string) (place, error) {
	if !a.switched {
		return place{path: wanted}, os.MkdirAll(wanted, 0o700)
	}
	if a.reaches(filepath.Dir(wanted)) {
		return place{path: wanted}, a.makeOwn(wanted)
	}
	stand := standIn(wanted)
	if err := trustedFolder(filepath.Dir(stand)); err != nil {
		return place{}, err
	}
	if err := a.makeOwn(stand); err != nil {
		return place{}, err
	}
	if err := os.WriteFile(wanted+".location", []byte(stand+"\n"), 0o644); err != nil { // no secret
		return place{}, fmt.Errorf("note where the data of PostgreSQL lies: %w", err)
	}
	return place{path: stand, moved: true}, nil
}

func standIn(wanted string) string {
	sum := sha256.Sum256([]byte(wanted))
	return filepath.Join("/var/tmp", "phantom-"+hex.EncodeToString(sum[:6]), filepath.Base(wanted))
}

// trustedFolder makes a folder in a place where everybody may write, or takes it when it is ours.
func trustedFolder(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { // PostgreSQL's user passes through
		return err
	}
	found, err := os.Lstat(path)
	if err != nil {
		return err
	}
	owner, known := found.Sys().(*syscall.Stat_t)
	if !found.IsDir() || !known || int(owner.Uid) != os.Geteuid() || found.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s belongs to somebody else: remove it", path)
	}
	return nil
}

func (a account) makeOwn(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	return os.Chown(folder, a.uid, a.gid)
}

func (a account) writeFile(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	if !a.switched {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// reaches says whether the user may pass through every folder down to this one.
func (a account) reaches(folder string) bool {
	folder, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return false
	}
	for {
		found, err := os.Stat(folder)
		if err != nil {
			return false
		}
		owner, known := found.Sys().(*syscall.Stat_t)
		if !known || !a.passes(found.Mode().Perm(), int(owner.Uid), int(owner.Gid)) {
			return false
		}
		if parent := filepath.Dir(folder); parent != folder {
			folder = parent
			continue
		}
		return true
	}
}

func (a account) passes(mode fs.FileMode, uid, gid int) bool {
	switch {
	case uid == a.uid:
		return mode&0o100 != 0
	case gid == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}

// wipe removes a scratch stack's data, wherever it lies. The lock and the logs stay.
func wipe(state string) error {
	problems := []error{RemovePlace(filepath.Join(state, "postgres"))}
	files, err := filepath.Glob(filepath.Join(state, "*.*"))
	for _, file := range files {
		problems = append(problems, os.RemoveAll(file))
	}
	return errors.Join(append(problems, err)...)
}

func emptyLogs(state string) error {
	logs, err := filepath.Glob(filepath.Join(state, "logs", "*"))
	problems := []error{err}
	for _, log := range logs {
		problems = append(problems, os.Remove(log))
	}
	return errors.Join(problems...)
}

// RemovePlace removes a folder, and the one that stands in for it when its location file names one.
func RemovePlace(wanted string) error {
	var problems []error
	if _, err := os.Stat(wanted + ".location"); err == nil {
		problems = append(problems, os.RemoveAll(filepath.Dir(standIn(wanted))), os.Remove(wanted+".location"))
	}
	return errors.Join(append(problems, os.RemoveAll(wanted))...)
}

// RemovePrograms removes what stands in for PostgreSQL's programs outside the user's cache folder.
func RemovePrograms(cache string) error {
	locations, err := filepath.Glob(filepath.Join(cache, "postgresql-*.location"))
	problems := []error{err}
	for _, location := range locations {
		problems = append(problems, RemovePlace(location[:len(location)-len(".location")]))
	}
	return errors.Join(problems...)
}
