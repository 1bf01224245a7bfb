#!/usr/bin/env python3
"""Measure a cold install (p3) and a warm link (p4) of one project against other package managers.

    phases.py --project DIR --access-log FILE --work DIR [--rounds 5] [--phases p3,p4]
              --ours 'ringstall=target/release/ringstall ci --ignore-scripts --cache {cache} --registry {registry} -q'
              --bun BINARY --utoo BINARY [--npm] [--floor BINARY] [--against bun]

p3 starts with a lockfile, an empty cache and no node_modules; p4 with a lockfile, a warm cache and no node_modules.
DIR holds package.json, package-lock.json and maybe .npmrc. The registry is a local one that writes an nginx access
log; it tells how many requests a run made, and voids a run that was answered 404, a p4 that asked for a tarball and
a p3 that asked for none. `--ours` may be given again: the same command under a second label is the A/A row.

Runs are interleaved A B C C B A ..., each in a new project folder after a sync(2); nothing is deleted before the
last run. Every contender has a HOME, cache, temporary and XDG folders of its own, and no npm_config_* or proxy from
outside. npm takes part in the first round only. utoo asks the registry for its own newest version (/utoo/latest, /utoo/^1):
let the registry answer, with the version at hand, or its runs are void. `floor` hard-links the tree of the first contender's warm-up with
bare threads; its wall, system time and switches are its own figures, which leave out its walk of the source.

Wall, user, sys, peak memory, minor faults and context switches are those of wait4(2) for the one process started and
what it waited for. It is started from a bare interpreter, whose own size (some 10 MiB) is the least RSS that can show.
"""

import argparse
import dataclasses
import fcntl
import itertools
import json
import os
import pathlib
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys

FREE_BYTES_MIN = 6 << 30  # a cold run of a large project writes about 2 GB; stop before the disk is full
RIVAL_FILES_MIN = 0.95  # rivals hoist and skip a little differently
REQUEST = re.compile(r'"[A-Z]+ (\S+) [^"]*" (\d{3}) ')
FLOOR_LINE = re.compile(r"wall ([\d.]+) s, sys ([\d.]+) s, vctx (\d+), ictx (\d+)")
CORES = len(os.sched_getaffinity(0))

# A process inherits the peak RSS of the one that spawned it, so this one is kept small: it imports nothing else.
MEASURE = """
import os, sys, time
start = time.monotonic()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, use = os.wait4(pid, 0)
wall = time.monotonic() - start
figures = (os.waitstatus_to_exitcode(status), wall, use.ru_utime, use.ru_stime, use.ru_maxrss / 1024,
           use.ru_minflt, use.ru_nvcsw, use.ru_nivcsw)
with open(sys.argv[1], "w") as report:
    report.write(repr(list(figures)))
"""


@dataclasses.dataclass
class Contender:
    label: str
    kind: str  # ours, bun, utoo, npm or floor
    command: list  # may hold {cache}, {registry}, {source} and {target}
    seed: pathlib.Path = None  # the files every project folder of it begins with
    warm: pathlib.Path = None  # the state folder that p4 runs share

    def takes_part(self, phase, round_index):
        if self.kind == "floor":
            return phase == "p4"
        return self.kind != "npm" or round_index == 0


@dataclasses.dataclass
class Run:
    label: str
    phase: str
    round: int
    wall: float = 0.0
    user: float = 0.0
    sys: float = 0.0
    rss: float = 0.0
    faults: int = 0
    voluntary: int = 0
    involuntary: int = 0
    files: int = 0
    requests: int = 0
    fault: str = ""  # why it does not count

    @property
    def switches(self):
        return self.voluntary + self.involuntary


class Bench:
    def __init__(self, options):
        self.options = options
        self.work = options.work.resolve()
        self.contenders = contenders_of(options)
        self.log = open(options.access_log, "rb")
        self.files_expected = options.files
        self.floor_source = None
        self.runs = []

    def measure_all(self):
        # Requests are told apart by their place in the log, so two benches must not share it.
        fcntl.flock(self.log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for contender in self.contenders:
            self.prepare(contender)
        for phase in self.options.phases:
            if phase == "p4":
                self.warm_up()
            for index in range(self.options.rounds):
                order = self.contenders if index % 2 == 0 else self.contenders[::-1]
                for contender in order:
                    if contender.takes_part(phase, index):
                        self.runs.append(self.measure(contender, phase, index))

    def prepare(self, contender):
        """Makes the folder its projects are copied from: the lockfile as it is for ours, translated for a rival."""
        contender.seed = self.work / "seeds" / contender.label
        contender.warm = self.work / "warm" / contender.label
        contender.seed.mkdir(parents=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            if (self.options.project / name).exists():
                # contents alone: the original may be read-only
                shutil.copyfile(self.options.project / name, contender.seed / name)
        lockfile = contender.seed / "package-lock.json"
        if contender.kind in ("bun", "utoo"):
            lockfile.write_text(with_addresses(lockfile.read_text(), self.options.registry))
            with (contender.seed / ".npmrc").open("a") as npmrc:
                npmrc.write(f"\nregistry={self.options.registry}\n")
        if contender.kind == "bun":
            state = self.work / "migrate" / contender.label
            command = [contender.command[0], "pm", "migrate", "-f"]
            subprocess.run(command, cwd=contender.seed, env=environment(contender, state), check=True,
                           stdout=subprocess.DEVNULL)
            lockfile.unlink()

    def warm_up(self):
        for contender in self.contenders:
            if contender.kind == "floor":
                continue
            run = self.measure(contender, "warm", 0)
            if run.fault:
                sys.exit(f"phases.py: the warm-up of {contender.label} failed: {run.fault}")
            self.floor_source = self.floor_source or self.folder(contender, "warm", 0) / "node_modules"

    def folder(self, contender, phase, index):
        return self.work / "runs" / f"{phase}-{index}-{contender.label}" / "project"

    def measure(self, contender, phase, index):
        if shutil.disk_usage(self.work).free < FREE_BYTES_MIN:
            sys.exit(f"phases.py: less than {FREE_BYTES_MIN >> 30} GiB free on {self.work}")
        project = self.folder(contender, phase, index)
        shutil.copytree(contender.seed, project)
        state = project.parent / "state" if phase == "p3" else contender.warm
        env = environment(contender, state)
        places = {"{cache}": str(state / "cache"), "{registry}": self.options.registry,
                  "{source}": str(self.floor_source), "{target}": str(project / "node_modules")}
        command = [replace_all(word, places) for word in contender.command]
        report, output = project.parent / "report", project.parent / "output"
        os.sync()
        log_start = self.log.seek(0, os.SEEK_END)
        with output.open("wb") as out:
            subprocess.run([sys.executable, "-I", "-S", "-c", MEASURE, str(report), *command], cwd=project, env=env,
                           stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=True)
        exit_code, *figures = json.loads(report.read_text())
        run = Run(contender.label, phase, index, *figures)
        text = output.read_text(errors="replace")
        if contender.kind == "floor" and (match := FLOOR_LINE.search(text)):
            run.wall, run.sys = float(match[1]), float(match[2])
            run.voluntary, run.involuntary = int(match[3]), int(match[4])
        run.files, links = count_tree(project / "node_modules")
        run.files += links
        if exit_code != 0:
            run.fault = f"exit code {exit_code}: {' / '.join(text.strip().splitlines()[-3:])}"
        else:
            run.fault = self.fault_of_tree(contender, run.files)
        requests = self.requests_since(log_start)
        run.requests = len(requests)
        run.fault = run.fault or fault_of_requests(phase, contender, requests)
        print(f"{phase} {index} {contender.label}: {run.wall:.2f} s, {run.switches} switches, {run.files} files, "
              f"{run.requests} requests{', NOT COUNTED: ' + run.fault if run.fault else ''}", file=sys.stderr)
        return run

    def fault_of_tree(self, contender, files):
        if contender.kind == "floor":  # links regular files only
            expected = count_tree(self.floor_source)[0]
            return "" if files == expected else f"WRONG: {files} files, {expected} in the source"
        if self.files_expected is None:
            self.files_expected = files
        expected = self.files_expected
        if files == expected or (contender.kind != "ours" and files >= RIVAL_FILES_MIN * expected):
            return ""
        return f"WRONG: {files} files, {expected} expected"

    def requests_since(self, start):
        self.log.seek(start)
        return REQUEST.findall(self.log.read().decode(errors="replace"))

    def delete(self):
        subprocess.run(["rm", "-rf", str(self.work)], check=True)


def contenders_of(options):
    found = []
    for text in options.ours:
        label, separator, command = text.partition("=")
        if not separator or not command.strip() or "/" in label:
            sys.exit(f"phases.py: `--ours` wants LABEL=COMMAND, not `{text}`")
        found.append(Contender(label, "ours", shlex.split(command)))
    if options.bun:
        found.append(Contender("bun", "bun", [options.bun, *shlex.split(
            "install --frozen-lockfile --ignore-scripts --no-progress --registry {registry}")]))
    if options.utoo:
        found.append(Contender("utoo", "utoo", [options.utoo, *shlex.split(
            "install --ignore-scripts --registry {registry} --cache-dir {cache}")]))
    if options.npm:
        found.append(Contender("npm", "npm", ["npm", *shlex.split(
            "ci --ignore-scripts --no-audit --no-fund --registry {registry} --cache {cache}")]))
    if not found:
        sys.exit("phases.py: no contender; see --help")
    if options.floor:
        found.append(Contender("floor", "floor", [
            options.floor, "link-threads", "{source}", "{target}", str(CORES)]))
    for contender in found:  # a project folder is the working directory, so a relative path would be lost
        if "/" in contender.command[0]:
            contender.command[0] = os.path.abspath(contender.command[0])
    labels = [contender.label for contender in found]
    if len(set(labels)) != len(labels):
        sys.exit(f"phases.py: a label is there twice: {', '.join(labels)}")
    return found


def environment(contender, state):
    """Makes the state folder if it is new; nothing of the caller's environment but the search path gets through."""
    env = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOME": str(state / "home"),
           "TMPDIR": str(state / "tmp"), "DO_NOT_TRACK": "1"}
    for name in ("cache", "config", "data", "state"):
        env[f"XDG_{name.upper()}_HOME"] = str(state / "xdg" / name)
    if contender.kind == "bun":
        env["BUN_INSTALL"] = str(state / "home" / ".bun")
        env["BUN_INSTALL_CACHE_DIR"] = str(state / "cache")
    if contender.kind == "utoo":
        env["UTOO_SELF_PIN"] = "0"
    if contender.kind == "npm":
        env["NPM_CONFIG_UPDATE_NOTIFIER"] = "false"
    for folder in [state / "cache", *(pathlib.Path(env[name]) for name in env if env[name].startswith(str(state)))]:
        folder.mkdir(parents=True, exist_ok=True)
    return env


def with_addresses(lockfile, registry):
    lock = json.loads(lockfile)
    for where, entry in lock["packages"].items():
        is_of_registry = "node_modules/" in where and not entry.get("link") and not entry.get("inBundle")
        if is_of_registry and "resolved" not in entry:
            name = entry.get("name") or where.rpartition("node_modules/")[2]
            base, version = name.rpartition("/")[2], entry["version"].partition("+")[0]
            entry["resolved"] = f"{registry}{name}/-/{base}-{version}.tgz"
    return json.dumps(lock, indent=2) + "\n"


def replace_all(word, places):
    for place, value in places.items():
        word = word.replace(place, value)
    return word


def count_tree(root):
    """The number of regular files and of symbolic links."""
    files = links = 0
    folders = [root] if os.path.isdir(root) else []
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    links += 1
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    files += 1
    return files, links


def fault_of_requests(phase, contender, requests):
    missing = [path for path, status in requests if status == "404"]
    if missing:
        return f"answered 404: {', '.join(missing[:3])}"
    tarballs = [path for path, _ in requests if path.endswith(".tgz")]
    if phase == "p4" and tarballs:
        return f"asked for {len(tarballs)} tarballs with a warm cache"
    if phase == "p3" and not tarballs:
        return "asked for no tarball with an empty cache"
    return ""


def version_of(contender):
    if contender.kind == "floor":
        return "-"
    command = [contender.command[0], "--version"]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    return (done.stdout.strip() or "of unknown version").splitlines()[0]


def file_system_of(path):
    mounts = [line.split() for line in open("/proc/self/mountinfo")]
    within = [m for m in mounts if path == pathlib.Path(m[4]) or pathlib.Path(m[4]) in path.parents]
    mount = max(reversed(within), key=lambda m: len(m[4]))  # of two on one point the later hides the earlier
    return f"{mount[mount.index('-') + 1]} ({mount[5]})"


def print_header(bench):
    options = bench.options
    print(f"kernel {platform.release()}, {file_system_of(bench.work)}, {CORES} cores, registry {options.registry}, "
          f"project {options.project.resolve().name}, {options.rounds} rounds\n")
    for contender in bench.contenders:
        print(f"- {contender.label} {version_of(contender)}: `{shlex.join(contender.command)}`")
    print(flush=True)


def spread(values, digits=2):
    if not values:
        return "-"
    middle, low, high = (f"{f(values):.{digits}f}" for f in (statistics.median, min, max))
    return f"{middle} ({low}-{high})"


def middle(runs, name, digits=0):
    return f"{statistics.median(getattr(run, name) for run in runs):.{digits}f}"


def ratios(runs, others, name):
    """The ratio of every pair that ran in the same round."""
    by_round = {run.round: getattr(run, name) for run in others}
    return [getattr(run, name) / by_round[run.round] for run in runs if by_round.get(run.round)]


def print_table(bench, against):
    columns = ["contender", "phase", "runs", "wall s", "user s", "sys s", "RSS MiB", "minor faults",
               "switches vol / invol", "files", "requests"]
    for label in against:
        columns += [f"wall / {label}", f"switches / {label}"]
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    counted = [run for run in bench.runs if not run.fault]
    for phase, contender in itertools.product(bench.options.phases, bench.contenders):
        if not contender.takes_part(phase, 0):
            continue
        runs = [run for run in counted if (run.label, run.phase) == (contender.label, phase)]
        row = [contender.label, phase, str(len(runs))]
        if runs:
            is_floor = contender.kind == "floor"  # its process also walks the source: not what is asked
            row += [spread([run.wall for run in runs]), "-" if is_floor else middle(runs, "user", 2),
                    middle(runs, "sys", 2), "-" if is_floor else middle(runs, "rss"),
                    "-" if is_floor else middle(runs, "faults"),
                    f"{middle(runs, 'voluntary')} / {middle(runs, 'involuntary')}", middle(runs, "files"),
                    middle(runs, "requests")]
            for label in against:
                others = [run for run in counted if (run.label, run.phase) == (label, phase)]
                row += [spread(ratios(runs, others, "wall")), spread(ratios(runs, others, "switches"), 3)]
        row += ["-"] * (len(columns) - len(row))
        print(f"| {' | '.join(row)} |")
    for run in bench.runs:
        if run.fault:
            print(f"\nNot counted: {run.phase} round {run.round} of {run.label}: {run.fault}")


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", required=True, type=pathlib.Path, help="folder with package.json and lockfile")
    parser.add_argument("--work", required=True, type=pathlib.Path, help="new folder for the runs, deleted afterwards")
    parser.add_argument("--access-log", required=True, type=pathlib.Path, help="nginx access log of the registry")
    parser.add_argument("--registry", default="http://127.0.0.1:4873/")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--phases", type=lambda text: text.split(","), default=["p3", "p4"], help="p3,p4")
    parser.add_argument("--ours", action="append", default=[], metavar="LABEL=COMMAND",
                        help="may hold {cache} and {registry}; repeatable")
    parser.add_argument("--bun", metavar="BINARY")
    parser.add_argument("--utoo", metavar="BINARY")
    parser.add_argument("--npm", action="store_true", help="npm of the search path, in the first round only")
    parser.add_argument("--floor", metavar="BINARY", help="floor.c, compiled")
    parser.add_argument("--against", action="append", metavar="LABEL",
                        help="the contender ratios are taken against; repeatable (default: bun, else the first)")
    parser.add_argument("--files", type=int, help="files and links expected (default: the first contender's count)")
    parser.add_argument("--raw", type=pathlib.Path, help="append every run to this file, a JSON object a line")
    parser.add_argument("--keep", action="store_true", help="do not delete the work folder")
    options = parser.parse_args(arguments)
    if set(options.phases) - {"p3", "p4"}:
        parser.error("the phases are p3 and p4")
    if not options.registry.endswith("/"):
        options.registry += "/"
    return options


def main():
    options = options_of(sys.argv[1:])
    bench = Bench(options)
    labels = [contender.label for contender in bench.contenders]
    against = options.against or ["bun" if "bun" in labels else labels[0]]
    if set(against) - set(labels):
        sys.exit(f"phases.py: no contender is called {', '.join(set(against) - set(labels))}")
    bench.work.mkdir(parents=True)  # fails if it is there: what is deleted afterwards is ours alone
    try:
        print_header(bench)
        bench.measure_all()
        print_table(bench, against)  # deleting takes minutes
    finally:
        if options.raw:
            with options.raw.open("a") as raw:
                raw.writelines(json.dumps(dataclasses.asdict(run)) + "\n" for run in bench.runs)
        if not options.keep:
            bench.delete()


if __name__ == "__main__":
    main()
