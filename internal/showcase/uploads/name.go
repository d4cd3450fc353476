package uploads

import (
	"bytes"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxNameRunes     = 100
	maxNameBytes     = 200
	maxExtensionRune = 12
)

// safeName makes a name that is good on every system of one that somebody's system, or somebody, has made up. Files are stored under
// other names; this one is shown, and offered to whoever downloads.
func safeName(name string) string {
	name = strings.ToValidUTF8(name, "")
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(`<>:"|?*`, r):
			return '_'
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\ufeff', r == utf8.RuneError:
			return -1
		}
		return r
	}, name)
	name = strings.Trim(name, " .")
	if stem, _, _ := strings.Cut(strings.ToUpper(name), "."); slices.Contains(devices, stem) {
		name = "_" + name
	}
	if name = shorten(name); name == "" {
		return "file"
	}
	return name
}

// devices are names that Windows does not let files have.
var devices = []string{
	"CON", "PRN", "AUX", "NUL", "COM1", "COM2", "COM3", "COM4", "COM5", "COM6", "COM7", "COM8", "COM9",
	"LPT1", "LPT2", "LPT3", "LPT4", "LPT5", "LPT6", "LPT7", "LPT8", "LPT9",
}

// shorten takes from the middle, so that what kind of file it is stays.
func shorten(name string) string {
	extension := path.Ext(name)
	if utf8.RuneCountInString(extension) > maxExtensionRune {
		extension = ""
	}
	stem := []rune(strings.TrimSuffix(name, extension))
	room := maxNameRunes - utf8.RuneCountInString(extension)
	stem = stem[:min(len(stem), room)]
	for len(string(stem))+len(extension) > maxNameBytes {
		stem = stem[:len(stem)-1]
	}
	return strings.TrimSpace(string(stem)) + extension
}

// programs are extensions of what a careless click would run.
var programs = []string{
	".apk", ".app", ".bat", ".cmd", ".com", ".cpl", ".dll", ".dmg", ".exe", ".hta", ".jar", ".jse", ".lnk", ".msc", ".msi", ".pif", ".ps1", ".reg",
	".scr", ".sys", ".vbe", ".vbs", ".wsf", ".wsh",
}

func isProgram(name string) bool { return slices.Contains(programs, strings.ToLower(path.Ext(name))) }

// marks are what programs of the usual systems begin with, whatever they are called.
var marks = [][]byte{
	[]byte("MZ"), []byte("\x7fELF"), []byte("\xfe\xed\xfa\xce"), []byte("\xfe\xed\xfa\xcf"), []byte("\xce\xfa\xed\xfe"), []byte("\xcf\xfa\xed\xfe"),
}

func beginsLikeProgram(head []byte) bool {
	return slices.ContainsFunc(marks, func(mark []byte) bool { return bytes.HasPrefix(head, mark) })
}
