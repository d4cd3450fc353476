package looptest

import "math/rand/v2"

// A Choice picks one of n things, 0 to n-1, each time something could happen in
// more than one way. 0 is what an untroubled network does.
type Choice func(n int) int

// Plain is a network without trouble.
func Plain(int) int { return 0 }

// Scripted takes each choice from the next byte of script. What comes after the
// script's end is plain, so everything ends.
func Scripted(script []byte) Choice {
	return func(n int) int {
		if len(script) == 0 || n <= 1 {
			return 0
		}
		b := script[0]
		script = script[1:]
		return int(b) % n
	}
}

// Seeded chooses at random, the same for the same seed and order of questions.
func Seeded(seed uint64) Choice {
	r := rand.New(rand.NewPCG(seed, 0))
	return func(n int) int { return r.IntN(max(n, 1)) }
}
