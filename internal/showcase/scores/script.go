package scores

import (
	"math/rand/v2"
	"time"
)

// Kinds of events.
const (
	kickOff      = "kick-off"
	goal         = "goal"
	chance       = "chance"
	yellow       = "yellow"
	substitution = "substitution"
	halfTime     = "half-time"
	fullTime     = "full-time"
)

// event is one message of a match. Each tells the score, so that none has to be counted.
type event struct {
	N      int       `json:"n"` // from 1: nobody misses one
	Minute int       `json:"minute"`
	Kind   string    `json:"kind"`
	Home   string    `json:"home"`
	Away   string    `json:"away"`
	Side   string    `json:"side,omitempty"` // home or away
	Player string    `json:"player,omitempty"`
	Score  [2]int    `json:"score"`
	Starts time.Time `json:"starts"`
}

// after is when it happens, in our time, counted from the beginning of the match.
func (e *event) after() time.Duration { return time.Duration(e.Minute) * minute }

const maxEvents = 100 // of a match: at most one for each minute, and the whistles

var (
	teams = []string{
		"Harbour", "Mill Lane", "Northgate", "Riverside", "Old Quay", "Summit", "Lantern", "Orchard", "Copper Hill", "Westbridge", "Saltmarsh", "Union",
	}
	players = []string{
		"Adeyemi", "Brandt", "Castillo", "Duarte", "Eriksen", "Ferreira", "García", "Haddad", "Ito", "Jansen", "Kovač", "Li Wei", "Moreau", "Novák",
		"Okafor", "Park", "Quist", "Rossi", "Singh", "Tanaka", "Usman", "Vargas", "Wang Fang", "Yılmaz", "Zhou Min",
	}
)

// write makes up a whole match. The same round on the same pitch is always the same match.
func write(pitch int, round int64) []event {
	random := rand.New(rand.NewPCG(uint64(pitch), uint64(round)))
	sides := random.Perm(len(teams))
	now := event{Home: teams[sides[0]], Away: teams[sides[1]],
		Starts: time.Unix(0, round*int64(cycle)).Add(time.Duration(pitch) * cycle / pitches).UTC()}
	var script []event
	add := func(minute int, kind string) {
		now.N, now.Minute, now.Kind = len(script)+1, minute, kind
		script = append(script, now)
		now.Side, now.Player = "", ""
	}
	add(0, kickOff)
	for m := 1; m < 90; m++ {
		if m == 45 {
			add(m, halfTime)
			continue
		}
		kind := happens(random)
		if kind == "" {
			continue
		}
		side := random.IntN(2)
		now.Side, now.Player = []string{"home", "away"}[side], players[random.IntN(len(players))]
		if kind == goal {
			now.Score[side]++
		}
		add(m, kind)
	}
	add(90, fullTime)
	return script
}

// happens draws what happens in a minute, mostly nothing.
func happens(random *rand.Rand) string {
	switch n := random.IntN(100); {
	case n < 4:
		return goal
	case n < 14:
		return chance
	case n < 18:
		return yellow
	case n < 22:
		return substitution
	default:
		return ""
	}
}
