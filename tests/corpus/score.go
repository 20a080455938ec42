package corpus

import (
	"fmt"
	"slices"
	"strings"
)

// row is the score of one protocol of ours.
type row struct {
	labelled, agreed, missed, other, falseClaims int
}

// score counts agreement over many captures.
type score struct {
	rows            map[string]*row
	labelled        int // in scope, by DPI
	agreed          int
	allLabelled     int // by DPI, whatever the protocol
	allAgreed       int
	claims, truths  int // claims on flows labelled by DPI, and those that were right
	hosts, hostsOK  int
	ja3, ja3OK      int
	apps, appsNamed int
	unjoined        int // labelled flows that we do not report
	details         []string
}

func newScore() *score {
	s := &score{rows: map[string]*row{}}
	for _, p := range inScope {
		s.rows[p] = &row{}
	}
	return s
}

// add compares one labelled flow with ours of the same key, nil when there is none.
func (s *score) add(capture string, l *label, ours []*flowJSON) {
	if len(ours) == 0 {
		s.unjoined++
	}
	if !l.byDPI() {
		return
	}
	claims := map[string]bool{}
	for _, f := range ours {
		if c := f.claimed(); c != "" {
			claims[c] = true
		}
	}
	accepted := l.accepted()
	agreed := slices.ContainsFunc(accepted, func(n string) bool { return claims[n] })
	s.allLabelled++
	if agreed {
		s.allAgreed++
	}
	if len(accepted) > 0 && s.rows[accepted[0]] != nil {
		s.inScope(capture, l, s.rows[accepted[0]], agreed, claims)
	}
	for c := range claims {
		s.claims++
		if slices.Contains(accepted, c) {
			s.truths++
		} else {
			if r := s.rows[c]; r != nil {
				r.falseClaims++
			}
			s.note("%s %s: %s is labelled %s", capture, l.Key, c, l.Proto)
		}
	}
	s.names(capture, l, ours)
}

func (s *score) inScope(capture string, l *label, r *row, agreed bool, claims map[string]bool) {
	s.labelled++
	r.labelled++
	switch {
	case agreed:
		s.agreed++
		r.agreed++
	case len(claims) == 0:
		r.missed++
		s.note("%s %s: missed %s", capture, l.Key, l.Proto)
	default:
		r.other++
	}
}

// names compares host name, JA3 and application.
func (s *score) names(capture string, l *label, ours []*flowJSON) {
	if l.Hostname != "" {
		s.hosts++
		if slices.ContainsFunc(ours, func(f *flowJSON) bool { return sameHost(f.Hostname, l.Hostname) }) {
			s.hostsOK++
		} else {
			have := ""
			if len(ours) > 0 {
				have = ours[0].Hostname
			}
			s.note("%s %s: host %q, label (%s) %q", capture, l.Key, have, l.Proto, l.Hostname)
		}
	}
	if l.JA3 != "" {
		s.ja3++
		if slices.ContainsFunc(ours, func(f *flowJSON) bool { return f.TLS.JA3 == l.JA3 }) {
			s.ja3OK++
		} else {
			s.note("%s %s: ja3 differs (%s)", capture, l.Key, l.Proto)
		}
	}
	if l.App != "" {
		s.apps++
		if slices.ContainsFunc(ours, func(f *flowJSON) bool { return f.App != "" }) {
			s.appsNamed++
		}
	}
}

// sameHost compares as the corpus asks: lower case, the label's first 79 bytes.
// nDPI writes '?' for every byte that is not printable ASCII (ndpi_hostname_sni_set),
// so such a byte of ours equals '?'.
func sameHost(ours, theirs string) bool {
	ours, theirs = strings.ToLower(ours), strings.ToLower(theirs)
	ours, theirs = ours[:min(len(ours), 79)], theirs[:min(len(theirs), 79)]
	if len(ours) != len(theirs) {
		return false
	}
	for i := range len(ours) {
		if ours[i] != theirs[i] && (theirs[i] != '?' || ours[i] > ' ' && ours[i] < 0x7f) {
			return false
		}
	}
	return true
}

func (s *score) note(format string, args ...any) {
	s.details = append(s.details, fmt.Sprintf(format, args...))
}

func percent(n, of int) float64 {
	if of == 0 {
		return 100
	}
	return 100 * float64(n) / float64(of)
}

// recall returns the mean of the recalls of the protocols that were labelled.
func (s *score) recall() float64 {
	sum, n := 0.0, 0
	for _, r := range s.rows {
		if r.labelled > 0 {
			sum += percent(r.agreed, r.labelled)
			n++
		}
	}
	return sum / float64(max(n, 1))
}

// String is the table that "make corpus" prints.
func (s *score) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-12s %8s %8s %8s %8s %8s %10s\n", "protocol", "labelled", "agreed", "missed", "other", "recall", "precision")
	for _, p := range inScope {
		r := s.rows[p]
		fmt.Fprintf(&b, "%-12s %8d %8d %8d %8d %7.2f%% %9.2f%%\n", p, r.labelled, r.agreed, r.missed, r.other,
			percent(r.agreed, r.labelled), percent(r.agreed, r.agreed+r.falseClaims))
	}
	fmt.Fprintf(&b, "agreement, protocols above   %6.2f%%  (%d of %d labels by DPI)\n", percent(s.agreed, s.labelled), s.agreed, s.labelled)
	fmt.Fprintf(&b, "mean recall                  %6.2f%%\n", s.recall())
	fmt.Fprintf(&b, "precision, all our claims    %6.2f%%  (%d of %d)\n", percent(s.truths, s.claims), s.truths, s.claims)
	fmt.Fprintf(&b, "agreement, all DPI labels    %6.2f%%  (%d of %d)\n", percent(s.allAgreed, s.allLabelled), s.allAgreed, s.allLabelled)
	fmt.Fprintf(&b, "host names                   %6.2f%%  (%d of %d)\n", percent(s.hostsOK, s.hosts), s.hostsOK, s.hosts)
	fmt.Fprintf(&b, "JA3                          %6.2f%%  (%d of %d)\n", percent(s.ja3OK, s.ja3), s.ja3OK, s.ja3)
	fmt.Fprintf(&b, "labels with an application that we name one for %6.2f%%  (%d of %d)\n", percent(s.appsNamed, s.apps), s.appsNamed, s.apps)
	fmt.Fprintf(&b, "labelled flows not reported  %d\n", s.unjoined)
	return b.String()
}
