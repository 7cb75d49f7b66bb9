package v1

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Redacted stands in answers for a value that looks secret; it is Spark's own
// mark. A spec that holds it is refused: somebody applied a view.
const Redacted = "*********(redacted)"

// secretNames has Spark's own rule (the default of spark.redaction.regex in 3.x
// and 4.x: secret, password, token, access key) and what users call secrets
// besides. secretValues are credentials whatever their name.
var (
	secretNames = regexp.MustCompile(`(?i)secret|passw(or)?d|passphrase|token|credential|access[._-]?key|api[._-]?key|` +
		`private[._-]?key|account[._-]?key|sas[._-]?key|jaas`)
	secretValues = regexp.MustCompile(`(?i)://[^/\s:@]*:[^/\s@]+@|-----BEGIN [A-Z ]*PRIVATE KEY|` +
		`(AccountKey|SharedAccessKey|password)\s*=\s*[^\s;]|` +
		`[?&][^=&\s]*(secret|passw|token|sig(nature)?|key)[^=&\s]*=[^&\s]`)
	// setOption is a setting within other text: -Dname=value, --name=value.
	setOption = regexp.MustCompile(`(-D|--?)([A-Za-z0-9_.-]+)(=)("[^"]*"|'[^']*'|\S+)`)
)

// harmless look like secrets and are none.
var harmless = []string{"spark.authenticate.secretBitLength", "spark.authenticate.secret.file",
	"spark.authenticate.secret.file.driver", "spark.authenticate.secret.file.executor"}

// redactor hides what looks secret. custom is the application's own
// spark.redaction.regex; nil: none, or none that RE2 understands.
type redactor struct{ custom *regexp.Regexp }

func redactorOf(s SparkSpec) redactor {
	if own := s.Properties["spark.redaction.regex"]; own != "" {
		if re, err := regexp.Compile(own); err == nil {
			return redactor{re}
		}
	}
	return redactor{}
}

func (r redactor) secret(name string) bool {
	if slices.Contains(harmless, name) {
		return false
	}
	return secretNames.MatchString(name) || r.custom != nil && r.custom.MatchString(name)
}

// value is what may be shown of a named value.
func (r redactor) value(name, value string) string {
	if value != "" && r.secret(name) {
		return Redacted
	}
	text := r.text(value)
	if secretValues.MatchString(strings.ReplaceAll(text, Redacted, ";")) {
		return Redacted
	}
	return text
}

// text hides the secrets among options, such as in extraJavaOptions.
func (r redactor) text(text string) string {
	return setOption.ReplaceAllStringFunc(text, func(option string) string {
		m := setOption.FindStringSubmatch(option)
		if r.secret(m[2]) {
			return m[1] + m[2] + m[3] + Redacted
		}
		return option
	})
}

func (r redactor) values(m map[string]string) map[string]string {
	m = maps.Clone(m)
	for name, value := range m {
		m[name] = r.value(name, value)
	}
	return m
}

// args hides "--password=x", and x in "--password x".
func (r redactor) args(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		name, bare := strings.CutPrefix(arg, "-")
		if i+1 < len(args) && bare && !strings.Contains(name, "=") && r.secret(name) && !strings.HasPrefix(args[i+1], "-") {
			args[i+1] = Redacted
			continue
		}
		if arg != Redacted {
			args[i] = r.value("", arg)
		}
	}
	return args
}

// Redact returns a copy of the spec that can be shown: values of properties and
// variables, options within them, and arguments that look secret are replaced by
// Redacted.
func (s SparkSpec) Redact() SparkSpec {
	r := redactorOf(s)
	s = s.Clone()
	s.Properties = r.values(s.Properties)
	s.Environment = r.values(s.Environment)
	s.Args = r.args(s.Args)
	return s
}
