package netns

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// Set is a set as the kernel holds it.
type Set struct {
	Type     string // "ipv4_addr . inet_service"
	Flags    []string
	Timeout  time.Duration
	Size     int
	Elements map[string]Element // by key, "192.0.2.1 . 443"
}

// Element is one element of a set.
type Element struct {
	Timeout time.Duration // its own; 0: the set's
	Expires time.Duration // time left
	Comment string
}

// Keys returns the keys in order.
func (s Set) Keys() []string { return slices.Sorted(maps.Keys(s.Elements)) }

// Sets returns the sets of a table by their names; nil when there is no such table.
func (n *Namespace) Sets(t testing.TB, family, table string) map[string]Set {
	t.Helper()
	out, err := n.nft("", "-j", "list", "table", family, table)
	if err != nil {
		if strings.Contains(err.Error(), "No such file or directory") {
			return nil
		}
		t.Fatal(err)
	}
	sets, err := parseSets([]byte(out))
	if err != nil {
		t.Fatalf("nft list table %s %s: %v:\n%s", family, table, err, out)
	}
	return sets
}

// listing is the part of libnftables-json(5) that sets are in.
type listing struct {
	NFTables []struct {
		Set *struct {
			Name    string            `json:"name"`
			Type    words             `json:"type"`
			Flags   []string          `json:"flags"`
			Timeout int64             `json:"timeout"`
			Size    int               `json:"size"`
			Elem    []json.RawMessage `json:"elem"`
		} `json:"set"`
	} `json:"nftables"`
}

func parseSets(b []byte) (map[string]Set, error) {
	var l listing
	if err := json.Unmarshal(b, &l); err != nil {
		return nil, err
	}
	sets := map[string]Set{}
	for _, o := range l.NFTables {
		if o.Set == nil {
			continue
		}
		s := Set{
			Type: string(o.Set.Type), Flags: o.Set.Flags, Size: o.Set.Size,
			Timeout: time.Duration(o.Set.Timeout) * time.Second, Elements: map[string]Element{},
		}
		for _, raw := range o.Set.Elem {
			key, e, err := parseElement(raw)
			if err != nil {
				return nil, fmt.Errorf("set %s: element %s: %w", o.Set.Name, raw, err)
			}
			if _, twice := s.Elements[key]; twice {
				return nil, fmt.Errorf("set %s: element %s is there twice", o.Set.Name, key)
			}
			s.Elements[key] = e
		}
		sets[o.Set.Name] = s
	}
	return sets, nil
}

// parseElement reads a bare value, or one with properties.
func parseElement(raw json.RawMessage) (string, Element, error) {
	var full struct {
		Elem *struct {
			Val     words  `json:"val"`
			Timeout int64  `json:"timeout"`
			Expires int64  `json:"expires"`
			Comment string `json:"comment"`
		} `json:"elem"`
	}
	if err := json.Unmarshal(raw, &full); err == nil && full.Elem != nil {
		e := full.Elem
		return string(e.Val), Element{
			Timeout: time.Duration(e.Timeout) * time.Second, Expires: time.Duration(e.Expires) * time.Second, Comment: e.Comment,
		}, nil
	}
	var bare words
	err := json.Unmarshal(raw, &bare)
	return string(bare), Element{}, err
}

// words is a type or value: one word, a list, or {"concat": [...]}, joined as nft
// writes it.
type words string

// UnmarshalJSON implements json.Unmarshaler.
func (w *words) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	if m, ok := v.(map[string]any); ok {
		v = m["concat"]
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	parts := make([]string, len(list))
	for i, p := range list {
		switch p.(type) {
		case string, float64:
			parts[i] = fmt.Sprint(p)
		default:
			return fmt.Errorf("%s is no value of a set", b)
		}
	}
	*w = words(strings.Join(parts, " . "))
	return nil
}
