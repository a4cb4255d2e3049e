package wire

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"strconv"
	"strings"
	"testing"
)

// TestErrorCodesAreClosed: the list has every constant there is, and no more.
func TestErrorCodesAreClosed(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[ErrorCode]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Code") || len(spec.Values) == 0 {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			value, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			declared[ErrorCode(value)] = true
		}
		return true
	})
	if len(declared) != len(ErrorCodes) || len(declared) != 16 {
		t.Errorf("%d constants, %d in ErrorCodes; the protocol has 16", len(declared), len(ErrorCodes))
	}
	for _, code := range ErrorCodes {
		if !declared[code] {
			t.Errorf("%s is listed but not declared", code)
		}
	}
}

func TestRetryable(t *testing.T) {
	want := map[ErrorCode]bool{
		CodeRateLimited: true, CodeUnavailable: true, CodeTimeout: true, CodeRoomFull: true, CodeInternal: true,
	}
	for _, code := range ErrorCodes {
		if code.Retryable() != want[code] {
			t.Errorf("%s: retryable is %v", code, code.Retryable())
		}
	}
}

func TestAsError(t *testing.T) {
	if AsError(nil) != nil {
		t.Error("nil became an error")
	}
	own := Errorf(CodeNotFound, "no such room")
	if got := AsError(fmt.Errorf("join: %w", own)); got != own {
		t.Errorf("a wrapped *Error became %v", got)
	}
	got := AsError(io.ErrUnexpectedEOF)
	if got.Code != CodeInternal || strings.Contains(got.Text, "EOF") || !errors.Is(got, io.ErrUnexpectedEOF) {
		t.Errorf("a foreign error became %v", got)
	}
	if !strings.Contains(got.Error(), "EOF") {
		t.Errorf("the log would not see the cause: %v", got)
	}
}

// TestReconnectByRange: the number alone tells a client what to do, also one it does not know.
func TestReconnectByRange(t *testing.T) {
	again := map[CloseCode]bool{1001: true, 1006: true, 1011: true, 1012: true, 1013: true}
	for code := CloseCode(1000); code < 5000; code++ {
		want := again[code] || code >= 4000 && code <= 4499 && code != CloseReplaced
		if code.Reconnect() != want {
			t.Errorf("%d: reconnect is %v", code, code.Reconnect())
		}
	}
	seen := map[CloseCode]bool{}
	for _, c := range CloseCodes {
		if seen[c.Code] || c.Meaning == "" {
			t.Errorf("%d is listed twice or has no meaning", c.Code)
		}
		seen[c.Code] = true
	}
}

func TestValidName(t *testing.T) {
	for s, want := range map[string][2]bool{ // as a room's name, as a request's id
		"":                      {false, false},
		"a":                     {true, true},
		"daily-2_b":             {true, true},
		"Daily":                 {false, true},
		"a.b":                   {false, true},
		"*":                     {false, false},
		">":                     {false, false},
		"a b":                   {false, false},
		"a\n":                   {false, false},
		"é":                     {false, false},
		strings.Repeat("z", 64): {true, true},
		strings.Repeat("z", 65): {false, false},
	} {
		if got := [2]bool{ValidName(s), ValidRequestID(s)}; got != want {
			t.Errorf("%q: name and id are %v, want %v", s, got, want)
		}
	}
}
