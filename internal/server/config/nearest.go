package config

import "strings"

// nearest returns the word of known that text was most likely meant to be, or "" if none is alike.
func nearest(text string, known []string) string {
	best, distance := "", max(2, len(text)/3)+1
	for _, word := range known {
		d := editDistance(text, word)
		if strings.HasPrefix(text, word) || len(text) > 2 && strings.HasPrefix(word, text) {
			d = min(d, 1) // warning for warn, conn for connections
		}
		if d < distance {
			best, distance = word, d
		}
	}
	return best
}

// editDistance counts the letters to insert, delete, replace or swap with their neighbour that make b of a.
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 64 || len(y) > 64 {
		return 64 // no word of ours is that long
	}
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}
