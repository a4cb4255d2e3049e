package builtin

import (
	"math"
	"slices"
)

// The bounds and constants of ranking.
const (
	maxRanked = 300  // sentences, the newest
	damping   = 0.85 // Mihalcea and Tarau, "TextRank: Bringing Order into Texts", 2004
	rounds    = 30
	minTerms  = 3 // of a sentence that can say something by itself
)

// rank returns the n remarks that say most of what all say (TextRank: a sentence counts as much as the sentences that it
// shares words with), in the order in which they were said. Decisions and actions count more, questions less.
func rank(remarks []remark, n int, bonus func(remark) float64) []remark {
	remarks = slices.DeleteFunc(slices.Clone(remarks), func(r remark) bool { return len(r.terms) < minTerms })
	remarks = remarks[max(0, len(remarks)-maxRanked):]
	scores := textRank(remarks)
	order := make([]int, len(remarks))
	for i := range order {
		order[i] = i
		scores[i] *= bonus(remarks[i])
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return a - b
	})
	var chosen []int
	for _, i := range order {
		repeated := slices.ContainsFunc(chosen, func(j int) bool { return overlap(remarks[i].terms, remarks[j].terms) > 0.6 })
		if len(chosen) < n && !repeated {
			chosen = append(chosen, i)
		}
	}
	slices.Sort(chosen)
	best := make([]remark, len(chosen))
	for i, at := range chosen {
		best[i] = remarks[at]
	}
	return best
}

func textRank(remarks []remark) []float64 {
	n := len(remarks)
	weights := make([][]float64, n)
	sums := make([]float64, n)
	for i := range weights {
		weights[i] = make([]float64, n)
	}
	for i := range n {
		for j := range i {
			w := shared(remarks[i].terms, remarks[j].terms) / (math.Log(float64(len(remarks[i].terms))) + math.Log(float64(len(remarks[j].terms))))
			weights[i][j], weights[j][i] = w, w
			sums[i] += w
			sums[j] += w
		}
	}
	scores := make([]float64, n)
	next := make([]float64, n)
	for i := range scores {
		scores[i] = 1
	}
	for range rounds {
		for i := range n {
			sum := 0.0
			for j := range n {
				if weights[i][j] > 0 {
					sum += weights[i][j] / sums[j] * scores[j]
				}
			}
			next[i] = 1 - damping + damping*sum
		}
		scores, next = next, scores
	}
	return scores
}

// shared counts the words that two have.
func shared(a, b []string) float64 {
	n := 0
	for _, w := range a {
		if slices.Contains(b, w) {
			n++
		}
	}
	return float64(n)
}

func overlap(a, b []string) float64 {
	return shared(a, b) / math.Max(1, math.Min(float64(len(a)), float64(len(b))))
}
