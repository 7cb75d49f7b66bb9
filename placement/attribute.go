package placement

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"github.com/berthdata/berth/volumes"
)

// HostnameAttribute is the pseudo attribute that every agent has: its hostname.
const HostnameAttribute = "hostname"

// Attributes are an agent's attributes, sorted by name. The zero value has none.
type Attributes struct{ list []attribute }

// attribute is one attribute; a name may occur more than once.
type attribute struct {
	name   string
	text   string // the value as people write it
	number volumes.Amount
	scalar bool
	ranges []mesos.Value_Range
}

// AttributesOf reads the attributes of an offer or agent. TEXT, SCALAR, RANGES
// and SET (each member a value) are known; hostname is added as an attribute
// and hides one of that name.
func AttributesOf(hostname string, attributes []mesos.Attribute) Attributes {
	list := make([]attribute, 0, len(attributes)+1)
	list = append(list, attribute{name: HostnameAttribute, text: hostname})
	for _, a := range attributes {
		if a.Name == HostnameAttribute {
			continue
		}
		switch {
		case a.Type == mesos.TEXT && a.Text != nil:
			list = append(list, attribute{name: a.Name, text: a.Text.Value})
		case a.Type == mesos.SCALAR && a.Scalar != nil:
			n := volumes.FromFloat(a.Scalar.Value)
			list = append(list, attribute{name: a.Name, text: n.String(), number: n, scalar: true})
		case a.Type == mesos.RANGES && a.Ranges != nil:
			list = append(list, attribute{name: a.Name, text: rangesText(a.Ranges.Range), ranges: a.Ranges.Range})
		case a.Type == mesos.SET && a.Set != nil:
			for _, item := range a.Set.Item {
				list = append(list, attribute{name: a.Name, text: item})
			}
		}
	}
	sortAttributes(list)
	return Attributes{list}
}

// TextAttributes makes TEXT attributes of a map, such as one kept in a record.
func TextAttributes(values map[string]string) Attributes {
	list := make([]attribute, 0, len(values))
	for k, v := range values {
		list = append(list, attribute{name: k, text: v})
	}
	sortAttributes(list)
	return Attributes{list}
}

func sortAttributes(list []attribute) {
	slices.SortStableFunc(list, func(a, b attribute) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.text, b.text))
	})
}

func rangesText(rs []mesos.Value_Range) string {
	parts := make([]string, len(rs))
	for i, r := range rs {
		parts[i] = fmt.Sprintf("%d-%d", r.Begin, r.End)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// Value is the attribute's value as text, the first one if it has several.
func (a Attributes) Value(name string) (string, bool) {
	if found := a.named(name); len(found) > 0 {
		return found[0].text, true
	}
	return "", false
}

// Map is all attributes as text; several values of one name are joined by ",".
func (a Attributes) Map() map[string]string {
	m := make(map[string]string, len(a.list))
	for _, x := range a.list {
		if old, ok := m[x.name]; ok {
			m[x.name] = old + "," + x.text
			continue
		}
		m[x.name] = x.text
	}
	return m
}

// named is the part of the list with that name. Agents have few attributes, so
// a scan is the fastest search.
func (a Attributes) named(name string) []attribute {
	for i := range a.list {
		if a.list[i].name != name {
			continue
		}
		j := i + 1
		for j < len(a.list) && a.list[j].name == name {
			j++
		}
		return a.list[i:j]
	}
	return nil
}
