package daemon

import "time"

// probeEvery is how often the disk is looked at with nobody asking for the status.
const probeEvery = 10 * time.Second

// diskProblem says what is wrong with the disk of the cache directory; empty: nothing.
func (d *Daemon) diskProblem() string {
	if d.parts.disk == nil {
		return ""
	}
	if err := d.parts.disk.Probe(); err != nil {
		return err.Error()
	}
	return ""
}

// indexProblem says what is wrong with the index; empty: nothing.
func (d *Daemon) indexProblem() string {
	if d.parts.index == nil || !d.parts.index.Lost() {
		return ""
	}
	return "the index is damaged: it is kept in memory until the next mount begins it anew, and nothing is lost"
}

// watchDisk logs when the disk begins to refuse files, and when it takes them again: clients are told an errno
// and not what to do.
func (d *Daemon) watchDisk() {
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		before := ""
		for {
			if now := d.diskProblem(); now != before {
				d.logDisk(now)
				before = now
			}
			select {
			case <-done:
				return
			case <-time.After(probeEvery):
			}
		}
	}()
	d.undo.add(func() error { close(done); <-ended; return nil })
}

func (d *Daemon) logDisk(problem string) {
	if problem == "" {
		d.log.Info("the disk takes files again", "dir", d.config.CacheDir)
		return
	}
	d.log.Error("the disk of the cache directory is of no use", "dir", d.config.CacheDir, "err", problem)
}
