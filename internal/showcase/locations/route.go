package locations

import "container/heap"

// route is the shortest way from one crossing to another, both included; nil if there is none. (Dijkstra's, with the straight distance to the
// destination added: Hart, Nilsson and Raphael's A*.)
func (n *network) route(from, to int) []int {
	goal := n.crossings[to].point
	came := make([]int, len(n.crossings))
	cost := make([]float64, len(n.crossings))
	for i := range came {
		came[i] = -1
	}
	came[from] = from
	todo := &frontier{{from, 0}}
	for todo.Len() > 0 {
		at := heap.Pop(todo).(candidate).crossing
		if at == to {
			return trace(came, from, to)
		}
		for _, r := range n.crossings[at].roads {
			c := cost[at] + r.length
			if came[r.to] >= 0 && c >= cost[r.to] {
				continue
			}
			came[r.to], cost[r.to] = at, c
			heap.Push(todo, candidate{r.to, c + n.crossings[r.to].to(goal)})
		}
	}
	return nil
}

func trace(came []int, from, to int) []int {
	way := []int{to}
	for at := to; at != from; {
		at = came[at]
		way = append(way, at)
	}
	for i, j := 0, len(way)-1; i < j; i, j = i+1, j-1 {
		way[i], way[j] = way[j], way[i]
	}
	return way
}

// candidate is a crossing and how long a way through it would be at least.
type candidate struct {
	crossing int
	least    float64
}

// frontier is a heap of candidates.
type frontier []candidate

func (f frontier) Len() int           { return len(f) }
func (f frontier) Less(i, j int) bool { return f[i].least < f[j].least }
func (f frontier) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }
func (f *frontier) Push(x any)        { *f = append(*f, x.(candidate)) }
func (f *frontier) Pop() any {
	last := len(*f) - 1
	x := (*f)[last]
	*f = (*f)[:last]
	return x
}
