package config

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Lookup answers with a variable's value and whether it is set, like os.LookupEnv.
type Lookup func(name string) (value string, ok bool)

// Environ is the environment of this process as NAME=value lines, for a program's run function.
func Environ() []string { return os.Environ() }

// In looks up in NAME=value lines; the last line of a name wins, as in os/exec.
func In(environ []string) Lookup {
	return func(name string) (string, bool) {
		for _, line := range slices.Backward(environ) {
			if key, value, ok := strings.Cut(line, "="); ok && key == name {
				return value, true
			}
		}
		return "", false
	}
}

var (
	tenantPattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	passwordPattern = regexp.MustCompile(`(?i)(password\s*=\s*)('[^']*'|\S+)`)
	userinfoPattern = regexp.MustCompile(`(://[^:/?#\s]*:)(.*)@`)
)

// reader reads variables and gathers what is wrong with them.
type reader struct {
	lookup   Lookup
	problems []error
}

func (r *reader) refuse(variable, value, accepted string) {
	r.problems = append(r.problems, fmt.Errorf("%s is %q: accepted is %s", variable, mask(value), accepted))
}

func (r *reader) given(variable string) bool {
	value, ok := r.lookup(variable)
	return ok && value != ""
}

func (r *reader) text(variable, fallback string) string {
	if value, ok := r.lookup(variable); ok && value != "" {
		return value
	}
	return fallback
}

func (r *reader) oneOf(variable, fallback string, accepted ...string) string {
	value := r.text(variable, fallback)
	if value != fallback && !slices.Contains(accepted, value) {
		r.refuse(variable, value, strings.Join(accepted, ", "))
	}
	return value
}

// dsn accepts what pgx accepts: a postgres URL, or keyword=value pairs.
func (r *reader) dsn(variable, fallback string) string {
	value := r.text(variable, fallback)
	if value == "" {
		return ""
	}
	scheme, _, isURL := strings.Cut(value, "://")
	_, err := url.Parse(value)
	switch {
	case isURL && err == nil && (scheme == "postgres" || scheme == "postgresql"):
	case !isURL && strings.Contains(value, "="):
	default:
		r.refuse(variable, value, "postgres://user:password@host:port/database or keyword=value pairs")
	}
	return value
}

// url accepts an absolute URL of one of the schemes; no schemes: any.
func (r *reader) url(variable, fallback string, schemes []string) string {
	value := r.text(variable, fallback)
	parsed, err := url.Parse(value)
	switch {
	case err != nil || parsed.Scheme == "":
		r.refuse(variable, value, "a URL")
	case schemes != nil && !slices.Contains(schemes, parsed.Scheme):
		r.refuse(variable, value, "a URL that starts with "+strings.Join(schemes, "://, ")+"://")
	}
	return value
}

// addr accepts host:port, where the host may be empty (every interface) and port 0 picks a free one.
func (r *reader) addr(variable, fallback string) string {
	value := r.text(variable, fallback)
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		r.refuse(variable, value, "host:port, such as "+fallback)
		return ""
	}
	return value
}

// path accepts a file that can be read and makes its name absolute.
func (r *reader) path(variable string) string {
	value := r.text(variable, "")
	if value == "" {
		return ""
	}
	absolute, err := filepath.Abs(value)
	if err == nil {
		_, err = os.Stat(absolute)
	}
	if err != nil {
		r.refuse(variable, value, "a file that exists")
	}
	return absolute
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// mask hides the passwords of a DSN or a URL, well formed or not.
func mask(value string) string {
	value = userinfoPattern.ReplaceAllString(value, "${1}xxxxx@")
	return passwordPattern.ReplaceAllString(value, "${1}xxxxx")
}

func blobSchemes() []string { return []string{"file", "s3", "gs", "azblob", "mem"} }

func fileURL(path string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
}

func trimSlash(value string) string { return strings.TrimRight(value, "/") }
