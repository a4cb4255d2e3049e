package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"time"
)

// docs is what the comments in the sources say.
type docs struct {
	types  map[string]string // by type
	fields map[string]string // by Type.Field
	values map[string]string // by constant, what stands behind it on the line
}

// parseDocs reads the Go files in dir, tests left out.
func parseDocs(dir string) (docs, error) {
	d := docs{types: map[string]string{}, fields: map[string]string{}, values: map[string]string{}}
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return docs{}, err
	}
	fset := token.NewFileSet()
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		source, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return docs{}, err
		}
		for _, decl := range source.Decls {
			if group, ok := decl.(*ast.GenDecl); ok {
				d.add(group)
			}
		}
	}
	if len(d.types) == 0 {
		return docs{}, fmt.Errorf("no Go types in %s", dir)
	}
	return d, nil
}

func (d docs) add(group *ast.GenDecl) {
	for _, spec := range group.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			doc := spec.Doc
			if doc == nil {
				doc = group.Doc
			}
			d.types[spec.Name.Name] = oneLine(doc)
			if body, ok := spec.Type.(*ast.StructType); ok {
				d.addFields(spec.Name.Name, body)
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				d.values[name.Name] = oneLine(spec.Comment)
			}
		}
	}
}

func (d docs) addFields(typ string, body *ast.StructType) {
	for _, f := range body.Fields.List {
		doc := oneLine(f.Comment)
		if doc == "" {
			doc = oneLine(f.Doc)
		}
		for _, name := range f.Names {
			d.fields[typ+"."+name.Name] = doc
		}
	}
}

func oneLine(c *ast.CommentGroup) string {
	return strings.Join(strings.Fields(c.Text()), " ")
}

// A limit is a constant of limits.go.
type limit struct {
	name  string // as in Go
	value int64  // a duration in milliseconds
	time  bool
	doc   string
}

// parseLimits evaluates the constants of one file, which imports nothing but time.
func parseLimits(path string) ([]limit, error) {
	fset := token.NewFileSet()
	source, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	info := types.Info{Defs: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: timeOnly{}}
	if _, err := config.Check("limits", fset, []*ast.File{source}, &info); err != nil {
		return nil, err
	}
	d := docs{types: map[string]string{}, fields: map[string]string{}, values: map[string]string{}}
	var limits []limit
	for _, decl := range source.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		d.add(group)
		for _, spec := range group.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				object := info.Defs[name].(*types.Const)
				value, exact := constant.Int64Val(object.Val())
				if !exact {
					return nil, fmt.Errorf("%s is no whole number", name.Name)
				}
				l := limit{name: name.Name, value: value, doc: d.values[name.Name]}
				if object.Type().String() == "time.Duration" {
					l.time, l.value = true, time.Duration(value).Milliseconds()
				}
				limits = append(limits, l)
			}
		}
	}
	return limits, nil
}

// timeOnly is an importer that knows of package time what limits need: type checking the real one from source
// would take longer than all the rest.
type timeOnly struct{}

// Import implements types.Importer.
func (timeOnly) Import(path string) (*types.Package, error) {
	if path != "time" {
		return nil, fmt.Errorf("limits may import time alone, not %s", path)
	}
	pkg := types.NewPackage("time", "time")
	duration := types.NewNamed(types.NewTypeName(token.NoPos, pkg, "Duration", nil), types.Typ[types.Int64], nil)
	pkg.Scope().Insert(duration.Obj())
	for name, value := range map[string]time.Duration{
		"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour,
	} {
		pkg.Scope().Insert(types.NewConst(token.NoPos, pkg, name, duration, constant.MakeInt64(int64(value))))
	}
	pkg.MarkComplete()
	return pkg, nil
}
