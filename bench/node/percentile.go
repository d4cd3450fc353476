package main

import "slices"

// percentiles returns the median and the 99th of 100; zeros if there is nothing.
func percentiles(all []float64) (p50, p99 float64) {
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)*99/100]
}
