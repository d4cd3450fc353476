package main

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// chart is a line chart as an SVG that takes its colours from the page.
type chart struct {
	title  string
	x, y   func(float64) string // texts of values
	logY   bool
	wholeX bool // marks of x are whole numbers
	binary bool // marks of y are round in KiB, MiB and so on
	lines  []curve
}

// curve is one line; its colour is by its place.
type curve struct {
	name string
	dots []dot
}

type dot struct{ x, y float64 }

// Sizes of a chart; it scales with the page.
const (
	chartWidth, chartHeight = 640.0, 260.0
	chartLeft, chartRight   = 74.0, 28.0
	chartTop, chartBottom   = 34.0, 30.0
)

// frame is a chart's range of values and how they lie on the page.
type frame struct {
	minX, maxX, minY, maxY float64
	logY, binary           bool
}

// draw returns "" when there is nothing to draw a line through.
func (c chart) draw() template.HTML {
	f, ok := c.frame()
	if !ok {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<figure><svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">`, chartWidth, chartHeight, template.HTMLEscapeString(c.title))
	fmt.Fprintf(&b, `<text class="title" x="%.0f" y="16">%s</text>`, chartLeft, template.HTMLEscapeString(c.title))
	c.axes(&b, f)
	at := chartWidth - chartRight
	for i := len(c.lines) - 1; i >= 0; i-- {
		line := c.lines[i]
		if line.name != "" { // the legend, from the right
			fmt.Fprintf(&b, `<text class="legend l%d" x="%.0f" y="16" text-anchor="end">%s</text>`, i, at, template.HTMLEscapeString(line.name))
			at -= 12 + 8*float64(len(line.name))
		}
	}
	for i, line := range c.lines {
		fmt.Fprintf(&b, `<polyline class="line l%d" points="`, i)
		for _, d := range line.dots {
			x, y := f.place(d)
			fmt.Fprintf(&b, "%.1f,%.1f ", x, y)
		}
		b.WriteString(`"/>`)
	}
	c.hints(&b, f)
	b.WriteString("</svg></figure>\n")
	return template.HTML(b.String()) // numbers, and texts that were escaped
}

// frame finds the range of all values; y begins at 0 unless it is logarithmic.
func (c chart) frame() (frame, bool) {
	f := frame{minX: math.Inf(1), maxX: math.Inf(-1), minY: math.Inf(1), maxY: math.Inf(-1), logY: c.logY, binary: c.binary}
	count := 0
	for _, line := range c.lines {
		for _, d := range line.dots {
			if c.logY && d.y <= 0 {
				continue // an interval in which nothing came
			}
			count++
			f.minX, f.maxX = min(f.minX, d.x), max(f.maxX, d.x)
			f.minY, f.maxY = min(f.minY, d.y), max(f.maxY, d.y)
		}
	}
	if count < 2 || f.minX == f.maxX {
		return f, false
	}
	if c.logY {
		f.minY, f.maxY = math.Pow(10, math.Floor(math.Log10(f.minY))), math.Pow(10, math.Ceil(math.Log10(f.maxY)))
		if f.minY == f.maxY {
			f.maxY *= 10
		}
		return f, true
	}
	f.minX, f.minY = min(f.minX, 0), 0
	if f.maxY <= 0 {
		f.maxY = 1
	}
	f.maxY *= 1.05
	return f, true
}

// place turns values into coordinates.
func (f frame) place(d dot) (x, y float64) {
	x = chartLeft + (d.x-f.minX)/(f.maxX-f.minX)*(chartWidth-chartLeft-chartRight)
	share := (d.y - f.minY) / (f.maxY - f.minY)
	if f.logY {
		share = math.Log10(max(d.y, f.minY)/f.minY) / math.Log10(f.maxY/f.minY)
	}
	return x, chartHeight - chartBottom - share*(chartHeight-chartTop-chartBottom)
}

func (c chart) axes(b *strings.Builder, f frame) {
	for _, v := range f.marksY() {
		_, y := f.place(dot{f.minX, v})
		fmt.Fprintf(b, `<line class="grid" x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f"/>`, chartLeft, chartWidth-chartRight, y, y)
		fmt.Fprintf(b, `<text x="%.0f" y="%.1f" text-anchor="end">%s</text>`, chartLeft-8, y+4, template.HTMLEscapeString(c.y(v)))
	}
	step := niceStep(f.maxX - f.minX)
	if c.wholeX {
		step = max(1, math.Round(step))
	}
	for v := math.Ceil(f.minX/step) * step; v <= f.maxX; v += step {
		x, _ := f.place(dot{v, f.minY})
		fmt.Fprintf(b, `<text x="%.1f" y="%.0f" text-anchor="middle">%s</text>`, x, chartHeight-10, template.HTMLEscapeString(c.x(v)))
	}
}

func (f frame) marksY() (marks []float64) {
	if f.logY {
		for v := f.minY; v <= f.maxY*1.001; v *= 10 {
			marks = append(marks, v)
		}
		return marks
	}
	step := niceStep(f.maxY - f.minY)
	if f.binary {
		step = math.Exp2(math.Ceil(math.Log2(step)))
	}
	for v := f.minY; v <= f.maxY; v += step {
		marks = append(marks, v)
	}
	return marks
}

// niceStep divides a range into three to six parts of a round size.
func niceStep(span float64) float64 {
	step := math.Pow(10, math.Floor(math.Log10(span/3)))
	for _, times := range []float64{5, 2} {
		if span/(times*step) >= 3 {
			return times * step
		}
	}
	return step
}

// hints are what a pointer that rests on the chart shows: the values of each place.
func (c chart) hints(b *strings.Builder, f frame) {
	first := c.lines[0].dots
	width := (chartWidth - chartLeft - chartRight) / float64(len(first))
	for i, d := range first {
		x, _ := f.place(d)
		text := c.x(d.x)
		for _, line := range c.lines {
			if i < len(line.dots) {
				text += fmt.Sprintf("\n%s %s", line.name, c.y(line.dots[i].y))
			}
		}
		fmt.Fprintf(b, `<rect class="hint" x="%.1f" y="%.0f" width="%.1f" height="%.0f"><title>%s</title></rect>`,
			x-width/2, chartTop, width, chartHeight-chartTop-chartBottom, template.HTMLEscapeString(text))
	}
}
