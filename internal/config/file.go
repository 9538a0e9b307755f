package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/goccy/go-yaml"
)

// File is phantom.yaml. Where there is none, or it says nothing of a part, the defaults stand: one
// target `local`, which is the embedded model server, the working directory as the only data root, and the
// limits of defaultLimits.
type File struct {
	Targets   []Target
	DataRoots []string // absolute; data URIs of a training must lie under one of them
	// ArtifactLimit is the largest artifact that is taken over HTTP, in bytes.
	ArtifactLimit int64
	Limits        Limits
	// Operators are the tenants whose admins may do what concerns all tenants.
	Operators []string
}

// Limits are how often one API key may ask one process.
type Limits struct {
	API     Limit `yaml:"api"`
	Gateway Limit `yaml:"gateway"` // and the model server
}

// Limit is a rate and how many requests may come at once after a rest. A rate of 0 is no limit.
type Limit struct {
	PerSecond float64 `yaml:"per_second"`
	Burst     int     `yaml:"burst"`
}

// defaultLimits stop a program that runs wild, and nobody else.
func defaultLimits() Limits {
	return Limits{API: Limit{PerSecond: 500, Burst: 1000}, Gateway: Limit{PerSecond: 5000, Burst: 10_000}}
}

// checked takes what is given; a burst is twice the rate where it is not said.
func (l *Limit) checked(name string, otherwise Limit) (Limit, error) {
	switch {
	case l == nil:
		return otherwise, nil
	case !(l.PerSecond >= 0) || l.PerSecond > 1e6:
		return otherwise, fmt.Errorf("limits.%s.per_second is %g: accepted is 0 (no limit) to 1000000", name, l.PerSecond)
	case l.Burst < 0:
		return otherwise, fmt.Errorf("limits.%s.burst is %d: accepted is 1 or more, or nothing: twice the rate", name, l.Burst)
	case l.Burst == 0:
		l.Burst = max(1, int(2*l.PerSecond))
	}
	return *l, nil
}

// Target is a place to serve models from.
type Target struct {
	Name       string `yaml:"name"`
	Kind       string `yaml:"kind"`       // TargetOIP
	URL        string `yaml:"url"`        // http or https, without a trailing slash
	Repository string `yaml:"repository"` // an absolute folder: the server's model repository
	Layout     string `yaml:"layout"`     // LayoutPhantom
}

const (
	// TargetOIP is a server that speaks the Open Inference Protocol v2 with the repository extension.
	TargetOIP = "oip"
	// LayoutPhantom is the repository layout of the embedded model server.
	LayoutPhantom = "phantom"
)

// Target finds a target by its name.
func (f File) Target(name string) (Target, bool) {
	for _, target := range f.Targets {
		if target.Name == name {
			return target, true
		}
	}
	return Target{}, false
}

var targetPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// document is phantom.yaml as it is written. The parts that come later are named here so that they are
// refused as not available yet, and not as misspelt.
type document struct {
	Targets []Target `yaml:"targets"`
	Data    dataPart `yaml:"data"`
	// Artifacts: {limit: 256MiB}
	Artifacts artifactPart `yaml:"artifacts"`
	Trainers  any          `yaml:"trainers"`
	Policies  any          `yaml:"policies"`
	Operators []string     `yaml:"operators"`
	Limits    struct {
		API     *Limit `yaml:"api"`
		Gateway *Limit `yaml:"gateway"`
	} `yaml:"limits"`
}

type artifactPart struct {
	Limit string `yaml:"limit"`
}

// maxArtifact is the largest artifact that can be served: a deployment takes it into memory.
const maxArtifact = 1 << 30

// bytes reads a size such as 256MiB.
func (a artifactPart) bytes() (int64, error) {
	if a.Limit == "" {
		return maxArtifact, nil
	}
	size, err := humanize.ParseBytes(a.Limit)
	if err != nil || size < 1 || size > maxArtifact {
		return maxArtifact, fmt.Errorf("artifacts.limit is %q: accepted is a size up to 1GiB, such as 256MiB", a.Limit)
	}
	return int64(size), nil
}

type dataPart struct {
	Roots []string `yaml:"roots"`
	Hosts any      `yaml:"hosts"`
}

func (r *reader) file(dir string, cfg Config) File {
	defaults := File{
		Targets: []Target{localTarget(cfg)}, DataRoots: []string{dir}, ArtifactLimit: maxArtifact, Limits: defaultLimits(),
		Operators: []string{"default"},
	}
	name := r.text("PHANTOM_CONFIG", "phantom.yaml")
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, name)
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !r.given("PHANTOM_CONFIG"):
		return defaults
	case err != nil:
		r.refuse("PHANTOM_CONFIG", name, "a YAML file that can be read")
		return defaults
	}
	file, err := parseFile(text, filepath.Dir(path), defaults)
	if err != nil {
		r.problems = append(r.problems, fmt.Errorf("PHANTOM_CONFIG is %q: %w", name, err))
	}
	return file
}

// localTarget is the embedded model server of this very worker.
func localTarget(cfg Config) Target {
	return Target{
		Name:       "local",
		Kind:       TargetOIP,
		URL:        "http://" + cfg.ModelServerAddr,
		Repository: filepath.Join(cfg.StateDir, "models"),
		Layout:     LayoutPhantom,
	}
}

func parseFile(text []byte, dir string, defaults File) (File, error) {
	var doc document
	if len(strings.TrimSpace(string(text))) > 0 {
		if err := yaml.UnmarshalWithOptions(text, &doc, yaml.Strict()); err != nil {
			return defaults, errors.New(oneLine(yaml.FormatError(err, false, false)))
		}
	}
	if err := doc.refuseLater(); err != nil {
		return defaults, err
	}
	file := defaults
	if len(doc.Targets) > 0 {
		file.Targets = nil
	}
	var problems []error
	for i, target := range doc.Targets {
		target, err := target.checked(dir, file)
		if err != nil {
			problems = append(problems, fmt.Errorf("targets[%d].%w", i, err))
			continue
		}
		file.Targets = append(file.Targets, target)
	}
	if len(doc.Data.Roots) > 0 {
		file.DataRoots = nil
	}
	for _, root := range doc.Data.Roots {
		file.DataRoots = append(file.DataRoots, under(dir, root))
	}
	var err error
	if file.ArtifactLimit, err = doc.Artifacts.bytes(); err != nil {
		problems = append(problems, err)
	}
	if file.Limits.API, err = doc.Limits.API.checked("api", defaults.Limits.API); err != nil {
		problems = append(problems, err)
	}
	if file.Limits.Gateway, err = doc.Limits.Gateway.checked("gateway", defaults.Limits.Gateway); err != nil {
		problems = append(problems, err)
	}
	if doc.Operators != nil { // an empty list: nobody
		file.Operators = doc.Operators
	}
	for i, tenant := range file.Operators {
		if !tenantPattern.MatchString(tenant) {
			problems = append(problems, fmt.Errorf("operators[%d] is %q: accepted is a tenant, 1 to 63 of a-z, 0-9 and -, not starting with -", i, tenant))
		}
	}
	return file, errors.Join(problems...)
}

func (d document) refuseLater() error {
	later := map[string]any{"trainers": d.Trainers, "policies": d.Policies, "data.hosts": d.Data.Hosts}
	for _, name := range []string{"trainers", "policies", "data.hosts"} {
		if later[name] != nil {
			return fmt.Errorf("%s is not available yet: take it out", name)
		}
	}
	return nil
}

// checked fills in defaults and answers with the first field that is wrong.
func (t Target) checked(dir string, file File) (Target, error) {
	t.Kind, t.Layout = cmp.Or(t.Kind, TargetOIP), cmp.Or(t.Layout, LayoutPhantom)
	address, err := url.Parse(t.URL)
	_, taken := file.Target(t.Name)
	switch {
	case !targetPattern.MatchString(t.Name):
		return t, fmt.Errorf("name is %q: accepted is 1 to 63 of a-z, 0-9 and -, not starting with -", t.Name)
	case taken:
		return t, fmt.Errorf("name is %q: accepted is a name that no other target has", t.Name)
	case t.Kind != TargetOIP:
		return t, fmt.Errorf("kind is %q: accepted is %s", t.Kind, TargetOIP)
	case err != nil || address.Host == "" || (address.Scheme != "http" && address.Scheme != "https"):
		return t, fmt.Errorf("url is %q: accepted is http://host:port or https://host:port", mask(t.URL))
	case t.Layout == "mlserver" || t.Layout == "triton":
		return t, fmt.Errorf("layout is %q: accepted is %s (the others are not available yet)", t.Layout, LayoutPhantom)
	case t.Layout != LayoutPhantom:
		return t, fmt.Errorf("layout is %q: accepted is %s", t.Layout, LayoutPhantom)
	case t.Repository == "" || strings.Contains(t.Repository, "://"):
		return t, fmt.Errorf("repository is %q: accepted is a folder (URLs are not available yet)", mask(t.Repository))
	}
	t.URL = trimSlash(t.URL)
	t.Repository = under(dir, t.Repository)
	return t, nil
}

// under makes a path absolute that is written relative to the folder of phantom.yaml.
func under(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// oneLine folds a parser's message, which draws the place below the text, into one line.
func oneLine(message string) string {
	first, _, _ := strings.Cut(message, "\n")
	return strings.Join(strings.Fields(first), " ")
}
