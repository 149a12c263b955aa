package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/go-analyze/charts"
)

// draw writes as SVG how much of each target is used: what is longer than 1 is missed.
func (r report) draw(path string) error {
	names := make([]string, len(r.Outcomes))
	used := [][]float64{make([]float64, len(r.Outcomes)), make([]float64, len(r.Outcomes))} // of those met, of those missed
	for i, o := range slices.Backward(r.Outcomes) {
		i = len(names) - 1 - i // the chart begins at its foot
		names[i] = fmt.Sprintf("%s %s, %s, %s / %s", o.Row, o.Work, o.Link, o.Server, o.Than)
		series := used[0]
		if !o.Met {
			series = used[1]
		}
		series[i] = min(o.Used, longest)
	}
	opt := charts.NewBarChartOptionWithData(used)
	opt.Horizontal, opt.StackSeries = true, charts.Ptr(true)
	opt.Title.Text = "layoutfs " + r.Commit + ": how much of each target is used"
	opt.CategoryAxis.Labels = names
	opt.Legend = charts.LegendOption{SeriesNames: []string{"met", "missed"}, Offset: charts.OffsetRight}
	opt.ValueAxis = []charts.ValueAxisOption{{Min: charts.Ptr(0.0), Max: charts.Ptr(longest), Unit: 0.5}}
	opt.Theme = charts.GetTheme(charts.ThemeLight).WithSeriesColors([]charts.Color{charts.ColorGreenAlt1, charts.ColorRedAlt1})
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: 1000, Height: 120 + 22*len(names)})
	if err := p.BarChart(opt); err != nil {
		return fmt.Errorf("draw the chart: %w", err)
	}
	b, err := p.Bytes()
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// longest is where a bar ends that would make the others short.
const longest = 3.0
