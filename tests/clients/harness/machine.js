// A server of one's own: Debian's systemd as the first process of new namespaces, over this machine's /usr, which it may
// write to without a trace. Nothing of ours is installed there; its network is its own, so that ports 80 and 443 are free.
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../../browser/harness/eventually.js";
import { whenLeaving } from "../../browser/harness/leaving.js";
import { scratch } from "../../browser/harness/paths.js";

const SYSTEMD = "/lib/systemd/systemd";
/** Where systemd keeps its own control groups, without a controller. */
const GROUPS = "/sys/fs/cgroup/systemd";

// $1 is the new root, $2 the folder that is its /box. The kernel's own settings are the real machine's: read-only.
const BOOT = `set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 root "$1"
cd "$1"
mkdir -p usr proc sys dev run tmp etc srv root old box upper/usr upper/work var/lib var/log var/tmp var/cache
mount -t overlay -o lowerdir=/usr,upperdir=upper/usr,workdir=upper/work overlay usr
for link in bin sbin lib lib64; do ln -s usr/$link $link; done
cp -a /etc/. etc/
rm -rf etc/systemd/system/* etc/doorway usr/local/bin/doorway usr/sbin/policy-rc.d etc/resolv.conf
: >etc/machine-id
printf '127.0.0.1 localhost box example.com\\n' >etc/hosts
cp -a /var/lib/dpkg var/lib/dpkg
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,ro,bind proc/sys
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 groups sys/fs/cgroup
mkdir sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd groups sys/fs/cgroup/systemd
mount -t tmpfs -o mode=755 dev dev
for device in null zero full random urandom tty; do : >dev/$device; mount --bind /dev/$device dev/$device; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mount --bind "$2" box
pivot_root . old
umount -l old
ip link set lo up
exec env -i container=test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin ${SYSTEMD} --show-status=0 --log-target=journal`;

/** What stands for people who are somebody else, or elsewhere: here is root, and there is this machine, too. */
const STAND_INS = {
  sudo: 'if [ "$1" = -u ]; then user=$2; shift 2; exec runuser -u "$user" -- "$@"; fi\nexec "$@"',
  ssh: 'user=${1%@*}; shift\nexec runuser -u "$user" -- sh -c "cd ~ && $*"',
};

/** Why there can be none here; nothing where there can. */
export function whyNot() {
  if (process.getuid() !== 0) return "only root may boot a system in namespaces";
  for (const needed of [SYSTEMD, GROUPS, "/var/lib/dpkg/status", "/usr/sbin/ip", "/usr/sbin/adduser"]) {
    if (!existsSync(needed)) return `there is no ${needed} here`;
  }
  const tried = spawnSync("unshare", ["-mpnuiC", "--fork", "true"], { encoding: "utf8" });
  return tried.status === 0 ? undefined : `no namespaces: ${tried.stderr}`;
}

export class Machine {
  /** What lies in this folder is in its /box. */
  box = scratch();
  #group = join(GROUPS, `doorway-test-${process.pid}`);
  #unshare;
  #first;

  static async boot() {
    const machine = new Machine();
    await machine.#boot();
    return machine;
  }

  async #boot() {
    writeFileSync(join(this.box, "boot"), BOOT);
    mkdirSync(this.#group);
    // In a group of its own, which is the topmost that it sees.
    const begin = `echo $$ >${this.#group}/cgroup.procs; exec unshare -mpnuiC --fork --kill-child=KILL bash ${this.box}/boot "$0" ${this.box}`;
    this.#unshare = spawn("bash", ["-c", begin, scratch()], { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    this.#unshare.stderr.on("data", (piece) => (said += piece));
    whenLeaving(() => this.#end());
    const { pid } = this.#unshare;
    try {
      await eventually("a system that runs", () => {
        this.#first = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
        const { stdout } = this.run("systemctl is-system-running");
        return /^(running|degraded)$/.test(stdout.trim());
      });
    } catch (error) {
      await this.end();
      throw new Error(`it did not start: ${said}`, { cause: error });
    }
    mkdirSync(join(this.box, "bin"));
    for (const [name, script] of Object.entries(STAND_INS)) {
      writeFileSync(join(this.box, "bin", name), `#!/bin/bash\n${script}\n`);
      chmodSync(join(this.box, "bin", name), 0o755);
    }
  }

  #command(line, folder) {
    const path = "/box/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";
    const clean = ["env", "-i", "HOME=/root", "LANG=C.UTF-8", "NEXT_TELEMETRY_DISABLED=1", `PATH=${path}`];
    return ["-t", this.#first, ..."mpnuiCrw".split("").map((one) => `-${one}`), ...clean, "bash", "--norc", "-c", `cd ${folder} && ${line}`];
  }

  /** Runs a line of shell as root, and gives its end and what it said. */
  run(line, folder = "/root") {
    return spawnSync("nsenter", this.#command(line, folder), { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8", timeout: 120_000 });
  }

  /** The same, but for that nobody waits for it. */
  start(line, folder = "/root") {
    return spawn("nsenter", this.#command(line, folder), { stdio: ["ignore", "pipe", "inherit"] });
  }

  /** Runs a line that must end well; gives all that it said. */
  does(line, folder) {
    const { status, stdout, stderr } = this.run(line, folder);
    if (status !== 0) throw new Error(`${line}: ${status}\n${stdout}${stderr}\n${this.run("journalctl -u doorway -n 50 -o cat --no-pager").stdout}`);
    return stdout + stderr;
  }

  /** A property of the service, as systemd has it. */
  service(property) {
    return this.does(`systemctl show doorway --property ${property} --value`).trim();
  }

  /** All of it ends at once. */
  async end() {
    const ended = new Promise((resolve) => this.#unshare.once("exit", resolve));
    this.#unshare.kill("SIGKILL");
    await ended;
    await eventually("its groups to be empty", () => this.#end());
  }

  #end() {
    this.#unshare.kill("SIGKILL");
    try {
      removeGroups(this.#group);
    } catch {
      return false; // the last processes are on their way out
    }
    return true;
  }
}

function removeGroups(folder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) if (entry.isDirectory()) removeGroups(join(folder, entry.name));
  rmdirSync(folder);
}
