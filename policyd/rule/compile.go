package rule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"weir/proto/config"
)

// maxNodes bounds one expression: far more than a person writes, far less than
// evaluation would feel. Long lists belong into groups and categories.
const maxNodes = 2000

// compiler turns rules into programs and collects what is wrong with them.
type compiler struct {
	groups   map[string]*config.Group
	env      map[string]any
	used     map[string]*field
	problems []*Problem
}

// Compile compiles the rules of c. It returns all problems, mistakes and warnings,
// in the order of the rules; the set is nil when there is a mistake.
func Compile(c *config.Config) (*Set, []*Problem) {
	k := &compiler{groups: map[string]*config.Group{}, env: map[string]any{}, used: map[string]*field{}}
	for i := range c.Groups {
		k.groups[c.Groups[i].Name] = &c.Groups[i]
	}
	for _, f := range fields {
		k.env[f.name] = f.zero
	}
	s := &Set{env: map[string]any{}}
	s.scope.set = s
	for name, f := range functions {
		k.env[name], s.env[name] = f, f
	}
	s.env[fnAttr], s.env[fnAttrs] = s.scope.attr, s.scope.attrList
	for i := range c.Rules {
		if r := &c.Rules[i]; r.Enabled {
			s.Rules = append(s.Rules, k.rule(r, c.Schedules))
		}
	}
	k.unreachable(s.Rules)
	k.unused(c, s.Rules)
	for _, p := range k.problems {
		if !p.Warning {
			return nil, k.problems
		}
	}
	s.bind(k.used)
	return s, k.problems
}

func (k *compiler) rule(c *config.Rule, schedules []config.Schedule) Rule {
	r := Rule{Rule: *c}
	r.match = k.expression(&r, "match", c.Match)
	if c.Exempt != "" {
		r.exempt = k.expression(&r, "exempt", c.Exempt)
	}
	for i := range schedules {
		if c.Schedule != "" && schedules[i].Name == c.Schedule {
			r.schedule = newSchedule(&schedules[i])
		}
	}
	return r
}

// expression compiles one expression. Names are all checked at once; types are
// checked when the names are right, and the first mistake is reported.
func (k *compiler) expression(r *Rule, key, text string) *vm.Program {
	p := &patcher{groups: k.groups, used: map[string]*field{}}
	if strings.TrimSpace(text) == "" {
		k.fail(r, key, Place{}, "is empty", `write true to match every flow`)
		return nil
	}
	program, err := compile(text, expr.Env(k.env), expr.AsBool(), expr.WarnOnAny(), expr.MaxNodes(maxNodes), expr.Patch(p))
	for _, f := range p.found {
		k.fail(r, key, place(text, f.From), f.message, f.hint)
	}
	if len(p.found) > 0 {
		return nil
	}
	if err != nil {
		k.refuse(r, key, text, err)
		return nil
	}
	for name, f := range p.used {
		k.used[name] = f
		r.counters = r.counters || f.counters
	}
	if b, ok := program.Node().(*ast.BoolNode); ok && !b.Value && key == "match" {
		k.warn(r, key, Place{1, 1}, "is never true: no flow will match", "set enabled = false to switch the rule off")
	}
	return program
}

// compile guards against panics of the compiler: an expression that makes it fail
// is refused, it must not end the daemon.
func compile(text string, options ...expr.Option) (p *vm.Program, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("cannot be compiled: %v", r)
		}
	}()
	options = append(options, expr.DisableAllBuiltins())
	for _, b := range builtins {
		options = append(options, expr.EnableBuiltin(b))
	}
	return expr.Compile(text, options...)
}

// refuse turns an error of the expression language into a problem of ours.
func (k *compiler) refuse(r *Rule, key, text string, err error) {
	var fe *file.Error
	if !errors.As(err, &fe) {
		message := err.Error()
		if rest, ok := strings.CutPrefix(message, "expected bool, but got "); ok {
			message = "is " + typeName(rest) + ", not true or false"
		}
		k.fail(r, key, Place{1, 1}, message, "compare it with something")
		return
	}
	hint := ""
	if strings.Contains(fe.Message, "mismatched types") && strings.Contains(fe.Message, "[]string") {
		hint = `a list is searched like this: "h2" in alpn`
	}
	k.fail(r, key, Place{fe.Line, fe.Column + 1}, message(fe.Message), hint)
}

// message puts the types of our vocabulary into words.
func message(s string) string {
	return strings.NewReplacer("netip.Addr", "address", "[]string", "list", "int64", "number", "float64", "number", "interface {}", "any").Replace(s)
}

func typeName(s string) string {
	switch s {
	case "int", "int64", "float64":
		return "a number"
	case "string":
		return "a text"
	case "netip.Addr":
		return "an address"
	}
	return message(s)
}

func (k *compiler) fail(r *Rule, key string, at Place, message, hint string) {
	k.problems = append(k.problems, &Problem{Rule: r.Name, Key: key, Pos: r.Pos, At: at, Message: message, Hint: hint})
}

func (k *compiler) warn(r *Rule, key string, at Place, message, hint string) {
	k.fail(r, key, at, message, hint)
	k.problems[len(k.problems)-1].Warning = true
}

// place turns an offset in characters into line and column.
func place(text string, offset int) Place {
	at := Place{1, 1}
	for _, r := range text {
		if offset == 0 {
			break
		}
		offset--
		if r == '\n' {
			at = Place{at.Line + 1, 1}
		} else {
			at.Column++
		}
	}
	return at
}

// bind makes the loaders of exactly the fields that rules use.
func (s *Set) bind(used map[string]*field) {
	for name, f := range used {
		s.env[name] = f.zero
		s.counters = s.counters || f.counters
		s.tagsUsed = s.tagsUsed || name == "tags"
		s.ends = s.ends || name == "end_reason"
		s.load = append(s.load, func(sc *scope) { s.env[name] = f.value(sc) })
	}
}
