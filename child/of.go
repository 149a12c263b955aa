package child

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Of returns the processes that a process has started and that are there, by what top shows of them. It is for tests and
// measurements.
func Of(pid int) (map[string]int, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, err
	}
	found := map[string]int{}
	for _, file := range files {
		pids, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, text := range strings.Fields(string(pids)) {
			name, err := os.ReadFile(filepath.Join("/proc", text, "comm"))
			if err != nil {
				return nil, err
			}
			if found[strings.TrimSpace(string(name))], err = strconv.Atoi(text); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}
