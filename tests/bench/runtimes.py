"""Times the same bundle with `stack oci`, crun and runc, and `stack exec` against nsenter. Called by `floor`.

    runtimes.py STACK PROBE

Every command's exit code is looked at, and that what it was to start runs: a runtime that refuses is fast.
"""
import json, os, shutil, statistics, subprocess, sys, tempfile, time

ROUNDS = 15
BATCHES = ((10, 4), (50, 2))
stack, probe = (os.path.abspath(path) for path in sys.argv[1:])
directory = tempfile.mkdtemp(prefix="stack-bench-")
# Not a pipe: a detached container keeps it.
errors = open(directory + "/errors", "wb")
NULL = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": errors}


def run(*command, code=0, **options):
    done = subprocess.run(command, **{**NULL, **options})
    if done.returncode != code:
        with open(errors.name) as file:
            sys.exit(f"{' '.join(command)}: {done.returncode}\n{file.read()}")
    return done


def timed(*command, code=0, **options):
    began = time.perf_counter()
    run(*command, code=code, **options)
    return time.perf_counter() - began


def at_once(commands):
    """Seconds until all of them have ended well."""
    began = time.perf_counter()
    running = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands]
    for command, process in zip(commands, running):
        if process.wait():
            sys.exit(f"{' '.join(command)}: {process.returncode}")
    return time.perf_counter() - began


class Runtime:
    def __init__(self, name, command):
        self.name, self.command, self.times = name, [*command, "--root", f"{directory}/{name}-state"], {}

    def add(self, what, seconds):
        self.times.setdefault(what, []).append(seconds * 1e3)

    def pid(self, container):
        done = run(*self.command, "state", container, stdout=subprocess.PIPE)
        state = json.loads(done.stdout)
        if state["status"] != "running":
            sys.exit(f"{self.name}: {container} is {state['status']}")
        return state["pid"]

    def alone(self):
        started = timed(*self.command, "run", "-d", "-b", f"{directory}/sleeps", "c")
        pid = self.pid("c")
        self.add("start (run -d)", started)
        self.add("exec true", timed(*self.command, "exec", "c", "/bin/probe", "exit:0"))
        run(*self.command, "exec", "c", "/bin/probe", "exit:3", code=3)
        self.add("stop (delete -f)", timed(*self.command, "delete", "-f", "c"))
        if runs(pid):
            sys.exit(f"{self.name}: it still runs")
        self.add("run true", timed(*self.command, "run", "-b", f"{directory}/ends", "c"))

    def batch(self, count):
        names = [f"c{number}" for number in range(count)]
        self.add(f"start {count} at once", at_once([[*self.command, "run", "-d", "-b", f"{directory}/sleeps", name] for name in names]))
        for name in names:
            self.pid(name)
        self.add(f"stop {count} at once", at_once([[*self.command, "delete", "-f", name] for name in names]))


def runs(pid):
    """Whether a process has not ended; who reaps it is another's business."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def make_bundle(name, *arguments):
    os.makedirs(f"{directory}/{name}/rootfs/bin")
    shutil.copy(probe, f"{directory}/{name}/rootfs/bin/probe")
    run(stack, "oci", "spec", "-b", f"{directory}/{name}")
    with open(f"{directory}/{name}/config.json") as file:
        config = json.load(file)
    # Old runtimes refuse newer ones.
    config["ociVersion"] = "1.0.2"
    config["process"].update(terminal=False, args=["/bin/probe", *arguments])
    config["linux"].pop("cgroupsPath", None)
    with open(f"{directory}/{name}/config.json", "w") as file:
        json.dump(config, file)


def compare():
    make_bundle("sleeps", "sleep")
    make_bundle("ends", "exit:0")
    runtimes = [Runtime("stack", [stack, "oci"])]
    for name in ("crun", "runc"):
        program = shutil.which(name)
        if program:
            runtimes.append(Runtime(name, [program]))
        else:
            print(f"{name} is not installed")
    for _ in range(ROUNDS):
        for runtime in runtimes:
            runtime.alone()
    for count, rounds in BATCHES:
        for _ in range(rounds):
            for runtime in runtimes:
                runtime.batch(count)
    ours = runtimes[0].times
    for what in ours:
        words = []
        for runtime in runtimes:
            median = statistics.median(runtime.times[what])
            ratio = "" if runtime is runtimes[0] else f" ({median / statistics.median(ours[what]):.1f}x)"
            words.append(f"{runtime.name} {median:7.1f} ms{ratio}")
        print(f"{what:20} {'   '.join(words)}")


def compare_exec():
    """A running service: the command of the user's against nsenter into the same container."""
    project = f"{directory}/project"
    os.mkdir(project)
    shutil.copy(probe, f"{project}/probe")
    with open(f"{project}/Dockerfile", "w") as file:
        file.write('FROM scratch\nCOPY probe /bin/probe\nCMD ["/bin/probe", "sleep"]\n')
    with open(f"{project}/compose.yaml", "w") as file:
        file.write("services: { s: { image: bench-probe, build: ., stop_grace_period: 0s } }\n")
    options = {"cwd": project, "env": {"PATH": os.environ["PATH"], "STACK_ROOT": f"{directory}/root", "HOME": directory}}
    run(stack, "up", "-d", "--build", **options)
    try:
        rows = run(stack, "ps", "--format", "json", **{**options, "stdout": subprocess.PIPE}).stdout.decode().splitlines()
        container = json.loads(rows[0])["ID"]
        with open(f"{directory}/root/containers/{full(container)}/state.json") as file:
            pid = str(json.load(file)["pid"])
        ours, theirs = [], []
        for _ in range(4 * ROUNDS):
            ours.append(1e3 * timed(stack, "exec", "-T", "s", "/bin/probe", "exit:0", **options))
            theirs.append(1e3 * timed("nsenter", "-t", pid, "-m", "-u", "-i", "-n", "-p", "/bin/probe", "exit:0"))
        ours, theirs = statistics.median(ours), statistics.median(theirs)
        verdict = "ok" if ours - theirs <= 5 else "ABOVE"
        print(f"{'stack exec true':20} stack {ours:7.1f} ms   nsenter {theirs:5.1f} ms   difference {ours - theirs:.1f} {verdict} 5")
    finally:
        run(stack, "down", "-t", "0", **options)


def full(short):
    return next(name for name in os.listdir(f"{directory}/root/containers") if name.startswith(short))


try:
    compare()
    compare_exec()
finally:
    shutil.rmtree(directory, ignore_errors=True)
