package rule

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"

	"weir/proto/config"
)

// Names of functions that users call, and of the one that address comparisons
// become. A user cannot write the last: it is not in the vocabulary.
const (
	fnCIDR    = "cidr"
	fnInGroup = "in_group"
	fnSuffix  = "suffix"
	fnAttr    = "attr"
	fnAttrs   = "attrs"
	fnPrivate = "private"
	fnIn      = "_in_networks"
)

// functions is the vocabulary of calls, with their types.
var functions = map[string]any{
	fnCIDR:    func(netip.Addr, string) bool { return false },
	fnInGroup: func(netip.Addr, string) bool { return false },
	fnSuffix:  suffix,
	fnAttr:    func(string) string { return "" },
	fnAttrs:   func(string) []string { return nil },
	fnPrivate: private,
	fnIn:      inNetworks,
}

// builtins are the functions of the expression language that stay: pure, without
// a clock, and cheap on what a flow holds.
var builtins = []string{
	"len", "any", "all", "none", "one", "lower", "upper", "trim", "hasPrefix", "hasSuffix",
	"int", "float", "string", "abs", "min", "max", "bitand", "bitor", "bitxor", "bitshl", "bitshr",
}

// patcher rewrites an expression before its types are checked for good: networks
// and groups become look-ups in tables made once, names are checked all at once.
type patcher struct {
	groups map[string]*config.Group
	used   map[string]*field
	found  []fault
}

// fault is a mistake at a place of the source, counted in characters.
type fault struct {
	file.Location
	message, hint string
}

func (p *patcher) fail(n ast.Node, hint, format string, args ...any) {
	p.found = append(p.found, fault{n.Location(), fmt.Sprintf(format, args...), hint})
}

// Visit implements ast.Visitor.
func (p *patcher) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.VariableDeclaratorNode:
		// Its uses were visited before: children come first.
		p.found = slices.DeleteFunc(p.found, func(f fault) bool { return f.message == unknownName(n.Name) })
	case *ast.IdentifierNode:
		p.name(n)
	case *ast.CallNode:
		p.call(node, n)
	case *ast.BinaryNode:
		p.compare(node, n)
	}
}

func unknownName(name string) string { return fmt.Sprintf("unknown field %q", name) }

func (p *patcher) name(n *ast.IdentifierNode) {
	if f := findField(n.Value); f != nil {
		p.used[n.Value] = f
		return
	}
	if _, ok := functions[n.Value]; ok && n.Value != fnIn {
		return
	}
	hint := "the fields are listed in docs/formats/rules.md"
	if c := closest(n.Value, vocabulary()); c != "" {
		hint = fmt.Sprintf("did you mean %q?", c)
	}
	p.fail(n, hint, "%s", unknownName(n.Value))
}

func vocabulary() (names []string) {
	for _, f := range fields {
		names = append(names, f.name)
	}
	for f := range functions {
		if f != fnIn {
			names = append(names, f)
		}
	}
	slices.Sort(names)
	return append(names, builtins...)
}

// call checks the constant arguments of our functions and turns them into tables.
func (p *patcher) call(node *ast.Node, n *ast.CallNode) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok || len(n.Arguments) != 2 {
		return
	}
	text, literal := n.Arguments[1].(*ast.StringNode)
	switch callee.Value {
	case fnCIDR, fnInGroup, fnSuffix:
		if !literal {
			p.fail(n.Arguments[1], `write it in quotes`, "the second argument of %s must be a text", callee.Value)
			return
		}
	}
	switch callee.Value {
	case fnCIDR:
		if list := p.networks(text); list != nil {
			p.lookup(node, n.Arguments[0], list)
		}
	case fnInGroup:
		g := p.groups[text.Value]
		if g == nil {
			p.fail(text, p.groupHint(text.Value), "there is no group %q", text.Value)
			return
		}
		p.lookup(node, n.Arguments[0], newNetworks(g.Networks...))
	case fnSuffix:
		if text.Value = cleanDomain(text.Value); text.Value == "" {
			p.fail(text, `write a domain such as "example.com"`, "suffix of the empty name matches nothing")
		}
	}
}

func (p *patcher) groupHint(name string) string {
	names := make([]string, 0, len(p.groups))
	for g := range p.groups {
		names = append(names, g)
	}
	slices.Sort(names)
	if c := closest(name, names); c != "" {
		return fmt.Sprintf("did you mean %q?", c)
	}
	return "define it in the table [group]"
}

func (p *patcher) networks(texts ...*ast.StringNode) *networks {
	var list []netip.Prefix
	for _, t := range texts {
		n, err := parseNetwork(t.Value)
		if err != nil {
			p.fail(t, "", "%v", err)
			return nil
		}
		list = append(list, n)
	}
	return newNetworks(list...)
}

// lookup replaces node by a test of addr against list.
func (p *patcher) lookup(node *ast.Node, addr ast.Node, list *networks) {
	if id, ok := addr.(*ast.IdentifierNode); !ok || !isAddress(id.Value) {
		p.fail(addr, "use client_ip, server_ip, local_ip or other_ip", "this is not an address")
		return
	}
	constant := &ast.ConstantNode{Value: list}
	constant.SetLocation((*node).Location())
	ast.Patch(node, &ast.CallNode{
		Callee:    &ast.IdentifierNode{Value: fnIn},
		Arguments: []ast.Node{addr, constant},
	})
}

func isAddress(name string) bool {
	switch name {
	case "client_ip", "server_ip", "local_ip", "other_ip":
		return true
	}
	return false
}

func isMAC(name string) bool {
	switch name {
	case "client_mac", "server_mac", "local_mac", "other_mac":
		return true
	}
	return false
}

// compare lets addresses be compared with texts: client_ip == "10.0.0.1",
// server_ip in ["10.0.0.0/8", "192.0.2.1"]; and MAC addresses in any spelling.
func (p *patcher) compare(node *ast.Node, n *ast.BinaryNode) {
	left, right := n.Left, n.Right
	if _, ok := right.(*ast.IdentifierNode); ok && (n.Operator == "==" || n.Operator == "!=") {
		left, right = right, left
	}
	id, ok := left.(*ast.IdentifierNode)
	if !ok || n.Operator != "==" && n.Operator != "!=" && n.Operator != "in" {
		return
	}
	texts := literals(right)
	if texts == nil {
		return
	}
	switch {
	case isMAC(id.Value):
		for _, t := range texts {
			t.Value = strings.ReplaceAll(strings.ToLower(t.Value), "-", ":")
		}
	case isAddress(id.Value):
		list := p.networks(texts...)
		if list == nil {
			return
		}
		p.lookup(node, id, list)
		if n.Operator == "!=" {
			ast.Patch(node, &ast.UnaryNode{Operator: "not", Node: *node})
		}
	}
}

// literals returns the texts of "x" or ["x", "y"], nil when n is something else.
func literals(n ast.Node) []*ast.StringNode {
	switch n := n.(type) {
	case *ast.StringNode:
		return []*ast.StringNode{n}
	case *ast.ArrayNode:
		list := make([]*ast.StringNode, 0, len(n.Nodes))
		for _, e := range n.Nodes {
			s, ok := e.(*ast.StringNode)
			if !ok {
				return nil
			}
			list = append(list, s)
		}
		return list
	}
	return nil
}
