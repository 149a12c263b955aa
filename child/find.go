package child

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Find returns the process of a name, as top shows it, that another process has started. That there is none is an error. It is
// for tests and measurements.
func Find(parent int, name string) (pid int, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		pids, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		for _, text := range strings.Fields(string(pids)) {
			comm, err := os.ReadFile(filepath.Join("/proc", text, "comm"))
			if err != nil {
				return 0, err
			}
			if strings.TrimSpace(string(comm)) == name {
				return strconv.Atoi(text)
			}
		}
	}
	return 0, fmt.Errorf("process %d has started no %s", parent, name)
}
