package e2e

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// cephConf is that of the smallest cluster: one monitor, one OSD that keeps everything in memory, a gateway,
// no manager, no authentication inside, on loopback alone. With short intervals it is up in 3 s, with the
// usual ones in 16.
const cephConf = `[global]
fsid = %[1]s
mon host = v2:127.0.0.1:%[2]s/0
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
run dir = %[3]s
admin socket =
pid file =
log file =
log to stderr = true
debug rocksdb = 0
mon data avail crit = 1
mon tick interval = 0.2
mon client ping interval = 1
objecter tick interval = 0.2
paxos propose interval = 0.02
paxos min wait = 0.01
mon allow pool size one = true
osd objectstore = memstore
memstore device bytes = 8589934592
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd class load list = *
osd class default list = *
[mon.a]
mon data = %[3]s/mon
[osd.0]
osd data = %[3]s/osd
[client.gateway]
rgw data = %[3]s
rgw frontends = beast endpoint=127.0.0.1:%[4]s
`

// ceph is a cluster in a folder.
type ceph struct {
	t       testing.TB
	dir     string
	daemons []*process
}

// startRadosGW serves with Ceph's gateway, and a cluster for it.
func startRadosGW(t testing.TB, dir string) (*server, *process, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, nil, err
	}
	c := &ceph{t: t, dir: dir}
	s := &server{endpoint: "http://127.0.0.1:" + ports[1], key: "e2e-" + rand.Text()[:8], secret: rand.Text()}
	if err := c.start(s, ports[0], ports[1]); err != nil {
		for _, d := range c.daemons {
			d.stop()
		}
		return nil, nil, err
	}
	gateway := c.daemons[2]
	gateway.needs = c.daemons[:2]
	return s, gateway, gateway.awaitUp(func() bool { return answers(s.endpoint) })
}

func (c *ceph) start(s *server, monitor, gateway string) error {
	fsid, osd := newUUID(c.t), newUUID(c.t)
	conf := fmt.Sprintf(cephConf, fsid, monitor, c.dir, gateway)
	if err := os.WriteFile(filepath.Join(c.dir, "conf"), []byte(conf), 0o600); err != nil {
		return err
	}
	monmap := filepath.Join(c.dir, "monmap")
	steps := []func() error{
		func() error {
			return c.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", "[v2:127.0.0.1:"+monitor+"/0]", monmap)
		},
		func() error { return c.run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap) },
		func() error { return c.daemon("mon", "ceph-mon", "-i", "a") },
		func() error { return c.run("ceph", "--connect-timeout", "60", "osd", "new", osd) },
		func() error { return os.Mkdir(filepath.Join(c.dir, "osd"), 0o755) },
		func() error { return c.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd) },
		func() error { return c.daemon("osd", "ceph-osd", "-i", "0") },
		func() error {
			return c.run("radosgw-admin", "user", "create", "--uid", "e2e", "--display-name", "e2e", "--access-key", s.key, "--secret", s.secret)
		},
		func() error { return c.daemon("", "radosgw", "-n", "client.gateway") },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// run runs a command of Ceph's on the cluster.
func (c *ceph) run(name string, args ...string) error {
	out, err := try(c.t, c.env(), tool(c.t, name), args...)
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// daemon starts one of the cluster's, whose log is in that folder.
func (c *ceph) daemon(dir, name string, args ...string) error {
	p, err := startProcess(filepath.Join(c.dir, dir), c.env(), tool(c.t, name), append(args, "-f")...)
	if err == nil {
		c.daemons = append(c.daemons, p)
	}
	return err
}

func (c *ceph) env() []string { return []string{"CEPH_CONF=" + filepath.Join(c.dir, "conf")} }

func newUUID(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/kernel/random/uuid")
	must(t, err)
	return strings.TrimSpace(string(b))
}
