package rule

import (
	"fmt"
	"slices"

	"github.com/expr-lang/expr/ast"

	"weir/proto/config"
)

// unreachable warns of rules that no flow can come to, because an earlier rule with
// stop matches all that they match. It finds what people do: a rule that is always
// true, the same condition twice, a general rule before a special one. It compares
// conditions as they are written, so it misses some and is never wrong.
func (k *compiler) unreachable(rules []Rule) {
	for i := range rules {
		for j := range rules[:i] {
			if rules[i].match != nil && covers(&rules[j], &rules[i]) {
				k.warn(&rules[i], "match", Place{1, 1},
					fmt.Sprintf("is never reached: rule %s at %s stops all that match", rules[j].Name, rules[j].Pos),
					"put the special rule before the general one")
				break
			}
		}
	}
}

// covers reports whether each flow that b would match ends at a.
func covers(a, b *Rule) bool {
	if !a.Stop || a.exempt != nil || a.schedule != nil || a.match == nil {
		return false
	}
	has := conjuncts(b.match.Node(), nil)
	for _, c := range conjuncts(a.match.Node(), nil) {
		if c != "true" && !slices.Contains(has, c) {
			return false
		}
	}
	return true
}

// conjuncts returns the texts of a and b of "a and b".
func conjuncts(n ast.Node, list []string) []string {
	if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "and" || b.Operator == "&&") {
		return conjuncts(b.Right, conjuncts(b.Left, list))
	}
	return append(list, text(n))
}

// text prints a node; tables made by the patcher print by their content.
func text(n ast.Node) string {
	p := &printer{}
	ast.Walk(&n, p)
	return n.String() + p.tables
}

type printer struct{ tables string }

func (p *printer) Visit(n *ast.Node) {
	if c, ok := (*n).(*ast.ConstantNode); ok {
		if t, ok := c.Value.(*networks); ok {
			p.tables += fmt.Sprint(" ", t.sorted())
		}
	}
}

// unused warns of groups and sets that no rule speaks of.
func (k *compiler) unused(c *config.Config, rules []Rule) {
	for i := range c.Sets {
		s := &c.Sets[i]
		if !slices.ContainsFunc(rules, func(r Rule) bool {
			return slices.ContainsFunc(r.NFTSet, func(a config.NFTSetAction) bool { return a.Set == s.Name })
		}) {
			k.problems = append(k.problems, &Problem{Pos: s.Pos, Warning: true,
				Message: fmt.Sprintf("set %s stays empty: no enabled rule fills it", s.Name)})
		}
	}
}
