package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as 64KiB, 1MiB or 4096.
type Size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

// String writes the size with the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits[:3] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// ParseSize reads a whole number with an optional unit: B, KiB, MiB or GiB.
func ParseSize(text string) (Size, error) {
	trimmed := strings.TrimSpace(text)
	for _, u := range sizeUnits {
		number, is := strings.CutSuffix(trimmed, u.name)
		if !is {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 0 {
			break
		}
		if n > math.MaxInt64/u.bytes {
			return 0, fmt.Errorf("%q is too large", text)
		}
		return Size(n * u.bytes), nil
	}
	return 0, fmt.Errorf("%q is not a size; write bytes, or a number with KiB, MiB or GiB, such as 64KiB", text)
}

// parse reads one value as users write it. The error says what was wrong and what would be right.
func (f *field) parse(text string) (reflect.Value, error) {
	v, err := f.convert(text)
	if err != nil {
		return v, err
	}
	return v, f.checkRange(v, text)
}

func (f *field) convert(text string) (reflect.Value, error) {
	v := reflect.New(f.typ).Elem()
	text = strings.TrimSpace(text)
	switch {
	case f.typ == reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(text)
		if err != nil {
			return v, fmt.Errorf("%q is not a duration; write a number with its unit, such as 500ms, 10s or 2m", text)
		}
		v.SetInt(int64(d))
	case f.size:
		n, err := ParseSize(text)
		if err != nil {
			return v, err
		}
		v.SetInt(int64(n))
	case f.isList():
		var list []string
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		v.Set(reflect.ValueOf(list))
	default:
		return v, f.convertBasic(v, text)
	}
	return v, nil
}

func (f *field) convertBasic(v reflect.Value, text string) error {
	switch f.typ.Kind() {
	case reflect.Bool:
		switch text {
		case "true", "false":
			v.SetBool(text == "true")
		default:
			return fmt.Errorf("%q is neither true nor false", text)
		}
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, f.typ.Bits())
		if err != nil {
			return fmt.Errorf("%q is not a whole number%s", text, tooLarge(err))
		}
		v.SetInt(n)
	case reflect.Float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return fmt.Errorf("%q is not a number", text)
		}
		v.SetFloat(n)
	default:
		if err := f.checkEnum(text); err != nil {
			return err
		}
		v.SetString(text)
	}
	return nil
}

func tooLarge(err error) string {
	if errors.Is(err, strconv.ErrRange) {
		return " of a size that can be used"
	}
	return ""
}

func (f *field) checkEnum(text string) error {
	if len(f.enum) == 0 {
		return nil
	}
	for _, allowed := range f.enum {
		if text == allowed {
			return nil
		}
	}
	hint := ""
	if near := nearest(text, f.enum); near != "" {
		hint = fmt.Sprintf("; did you mean %s?", near)
	}
	last := len(f.enum) - 1
	return fmt.Errorf("%q is not one of %s and %s%s", text, strings.Join(f.enum[:last], ", "), f.enum[last], hint)
}

// checkRange holds a value to the tags min and max.
func (f *field) checkRange(v reflect.Value, text string) error {
	for _, bound := range []struct {
		limit, word string
		sign        int
	}{{f.min, "at least", -1}, {f.max, "at most", 1}} {
		if bound.limit == "" {
			continue
		}
		limit, err := f.convert(bound.limit)
		if err != nil {
			panic(fmt.Sprintf("config: the bound %q of %s: %v", bound.limit, f.path, err))
		}
		if compareNumbers(v, limit) == bound.sign {
			return fmt.Errorf("%s is out of range; it must be %s %s", strings.TrimSpace(text), bound.word, bound.limit)
		}
	}
	return nil
}

func compareNumbers(a, b reflect.Value) int {
	x, y := 0.0, 0.0
	if a.CanInt() {
		x, y = float64(a.Int()), float64(b.Int())
	} else {
		x, y = a.Float(), b.Float()
	}
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// format writes a value as parse reads it.
func (f *field) format(v reflect.Value) string {
	if f.size {
		return Size(v.Int()).String()
	}
	switch x := v.Interface().(type) {
	case time.Duration:
		return formatDuration(x)
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	default:
		return fmt.Sprint(x)
	}
}

// formatDuration writes 2m and not 2m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
