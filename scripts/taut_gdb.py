"""CUDA threads and blocks for gdb, of kernels that the SIMT runner executes. Names are those of cuda-gdb.

    gdb -x scripts/taut_gdb.py ./program

    info cuda kernels        the kernel that runs, its grid, block and shared memory
    info cuda blocks         which block runs, how many are done and to come
    info cuda threads        the threads of the block: who runs, who waits where, who has returned
    info cuda warps          the same as a mask of lanes a warp
    cuda thread [T]          look at thread T, (x,y,z) or its number: where, up, print, info locals are its own then
    cuda continue T          go on until thread T, which waits, does
    cuda break WHERE [block B] [thread T]     a breakpoint for these alone
    cuda print EXPRESSION    the value that every thread of the block has for it
    cuda faults              stop in the kernel where the runner finds a fault
    $threadIdx, $blockIdx, $blockDim, $gridDim   of the thread that is looked at

A block's threads run one at a time, blocks one after the other: the state of all that wait is there to be seen. Any
command that goes on (continue, next, step, finish, ...) first looks back at the thread that runs.
"""
import re
import struct

import gdb

UNSTARTED, READY, RUNNING, AT_BARRIER, IN_WARP, RETURNED = range(6)
WARP = 32
# How boost::context leaves a stack (jump_x86_64_sysv_elf_gas.S): offsets from the saved context.
SAVED = {"r12": 0x08, "r13": 0x10, "r14": 0x18, "r15": 0x20, "rbx": 0x28, "rbp": 0x30, "rip": 0x38}
SAVED_SIZE = 0x40


def runner():
    """The runner's state while a kernel runs."""
    symbol = gdb.lookup_static_symbol("taut::runner::(anonymous namespace)::r")
    if symbol is None:
        raise gdb.GdbError("this program has no SIMT runner, or no debug information of it")
    pointer = symbol.value()
    if int(pointer) == 0 or int(pointer["running"]) < 0:
        raise gdb.GdbError("no kernel runs")
    return pointer.dereference()


def words():
    return gdb.parse_and_eval("taut::runner::words")


def triple(dim):
    return int(dim["x"]), int(dim["y"]), int(dim["z"])


def unfold(index, size):
    return index % size[0], index // size[0] % size[1], index // (size[0] * size[1])


def fold(at, size):
    return at[0] + size[0] * (at[1] + size[1] * at[2])


def shown(at):
    return "({},{},{})".format(*at)


def index_of(text, size, what):
    """Of "(x,y,z)", "x,y" or a number within `size`."""
    numbers = [int(word) for word in re.findall(r"\d+", text)]
    if not re.fullmatch(r"\(?\s*\d+(\s*,\s*\d+){0,2}\s*\)?", text.strip()):
        raise gdb.GdbError(f"expected a {what} as (x,y,z) or a number, got '{text}'")
    count = size[0] * size[1] * size[2]
    if len(numbers) == 1 and "," not in text:
        index = numbers[0]
    else:
        at = tuple(numbers + [0] * (3 - len(numbers)))
        index = fold(at, size) if all(a < s for a, s in zip(at, size)) else count
    if index >= count:
        raise gdb.GdbError(f"there is no {what} {text}: sizes are {shown(size)}")
    return index


class Focus:
    """Which thread is looked at. A waiting one is looked at by giving gdb the registers it left its stack with; the
    running one's are kept and given back before anything goes on."""
    kept = None
    thread = None

    @classmethod
    def give_back(cls):
        if cls.kept is None:
            return
        kept, cls.kept, cls.thread = cls.kept, None, None
        set_registers(kept)

    @classmethod
    def look_at(cls, thread):
        """False where the thread has no stack."""
        cls.give_back()
        r = runner()
        if thread == int(r["running"]):
            return True
        if int(r["lanes"][thread]["state"]) not in (READY, AT_BARRIER, IN_WARP):
            return False
        context = int(r["lanes"][thread]["context"])
        memory = gdb.selected_inferior().read_memory(context, SAVED_SIZE).tobytes()
        registers = {name: struct.unpack_from("<Q", memory, at)[0] for name, at in SAVED.items()}
        registers["rsp"] = context + SAVED_SIZE
        gdb.newest_frame().select()
        frame = gdb.newest_frame()
        cls.kept = {name: int(frame.read_register(name)) & (2**64 - 1) for name in registers}
        cls.thread = thread
        set_registers(registers)
        return True

    @classmethod
    def index(cls):
        return int(runner()["running"]) if cls.thread is None else cls.thread


def set_registers(values):
    gdb.newest_frame().select()
    for name, value in values.items():
        gdb.execute(f"set ${name} = {value}", to_string=True)


def is_runners(frame):
    table = frame.find_sal().symtab
    return table is None or "/kernels/simt/" in table.fullname() or table.filename.startswith("kernels/simt/")


def select_kernel_frame():
    """The newest frame that is not the runner's own."""
    frame = gdb.newest_frame()
    while frame is not None and frame.older() is not None and is_runners(frame):
        frame = frame.older()
    frame.select()
    return frame


def kernel_name(r):
    text = gdb.execute(f"info symbol {int(r['kernel'])}", to_string=True)
    name = text.split(" in section")[0].replace("(anonymous namespace)::", "")
    path, arguments = re.match(r"([^<(]*)(<.*?>)?(?:\(|$)", name).groups(default="")
    return path.split("::")[-1].split(" ")[-1] + arguments


def set_convenience():
    try:
        r, w = runner(), words()
    except (gdb.GdbError, gdb.error):
        return
    block = triple(w["block_size"])
    at = struct.pack("<III", *unfold(Focus.index(), block))
    gdb.set_convenience_variable("threadIdx", gdb.Value(at, w["thread"].type))
    gdb.set_convenience_variable("blockIdx", w["block"])
    gdb.set_convenience_variable("blockDim", w["block_size"])
    gdb.set_convenience_variable("gridDim", w["grid_size"])


def focus_line():
    r, w = runner(), words()
    thread = Focus.index()
    return "[kernel {}, block {}, thread {}, warp {}, lane {}]".format(
        kernel_name(r), shown(triple(w["block"])), shown(unfold(thread, triple(w["block_size"]))), thread // WARP,
        thread % WARP)


def place_of(lane):
    place = lane["place"]
    return f"{place['file'].string().rsplit('/', 1)[-1]}:{int(place['line'])}"


def running_place():
    frame = select_kernel_frame()
    sal = frame.find_sal()
    return f"{sal.symtab.filename.rsplit('/', 1)[-1]}:{sal.line}" if sal.symtab else "?"


def state_text(r, i):
    lane = r["lanes"][i]
    state = int(lane["state"])
    if state == RUNNING:
        return f"runs at {running_place()}"
    if state in (AT_BARRIER, IN_WARP):
        return f"waits in {lane['what'].string()} at {place_of(lane)}"
    if state == READY:
        return f"may go on from {lane['what'].string()} at {place_of(lane)}"
    return "has not begun" if state == UNSTARTED else "has returned"


class InfoCuda(gdb.Command):
    """CUDA kernels, blocks, threads and warps of the SIMT runner."""

    def __init__(self):
        super().__init__("info cuda", gdb.COMMAND_STATUS, prefix=True)


class InfoKernels(gdb.Command):
    """The kernel that runs."""

    def __init__(self):
        super().__init__("info cuda kernels", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        r, w = runner(), words()
        print(f"{kernel_name(r)}: grid {shown(triple(w['grid_size']))}, block {shown(triple(w['block_size']))}, "
              f"{int(r['shared_bytes'])} bytes of shared memory, order of warps by seed {int(r['seed'])}")


class InfoBlocks(gdb.Command):
    """The block that runs; blocks run one after the other."""

    def __init__(self):
        super().__init__("info cuda blocks", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        r, w = runner(), words()
        grid = triple(w["grid_size"])
        at, count = int(r["block_index"]), grid[0] * grid[1] * grid[2]
        print(f"block {shown(triple(w['block']))} runs; {at} of {count} are done, {count - at - 1} to come; "
              f"it has taken {int(r['totals']['barriers'])} barriers with those before it")


class InfoThreads(gdb.Command):
    """The threads of the block, neighbours in the same state together; * is the one that is looked at."""

    def __init__(self):
        super().__init__("info cuda threads", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        Focus_thread = Focus.thread
        Focus.give_back()
        r, size = runner(), triple(words()["block_size"])
        looked_at = int(r["running"]) if Focus_thread is None else Focus_thread
        groups = []
        for i in range(int(r["threads"])):
            text = state_text(r, i)
            if groups and groups[-1][2] == text and looked_at not in (i, groups[-1][1]):
                groups[-1][1] = i
            else:
                groups.append([i, i, text])
        for first, last, text in groups:
            mark = "*" if first <= looked_at <= last else " "
            to = "" if first == last else f" to {shown(unfold(last, size))}"
            print(f"{mark} {shown(unfold(first, size))}{to}, {last - first + 1}: {text}")
        if Focus_thread is not None:
            Focus.look_at(Focus_thread)
            select_kernel_frame()


class InfoWarps(gdb.Command):
    """Masks of lanes a warp: running or able to, waiting, returned."""

    def __init__(self):
        super().__init__("info cuda warps", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        r = runner()
        print("warp  ready       at barrier  in warp     returned    not begun")
        for w in range((int(r["threads"]) + WARP - 1) // WARP):
            masks = [0] * 6
            for lane in range(min(WARP, int(r["threads"]) - w * WARP)):
                masks[int(r["lanes"][w * WARP + lane]["state"])] |= 1 << lane
            columns = [masks[READY] | masks[RUNNING], masks[AT_BARRIER], masks[IN_WARP], masks[RETURNED],
                       masks[UNSTARTED]]
            mark = "*" if Focus.index() // WARP == w else " "
            print(f"{mark} {w:<3} " + "  ".join(f"{mask:#010x}" for mask in columns))


class Cuda(gdb.Command):
    """Look at CUDA threads, stop and go on by them. `help cuda` lists the commands."""

    def __init__(self):
        super().__init__("cuda", gdb.COMMAND_DATA, prefix=True)


class CudaThread(gdb.Command):
    """cuda thread [T]: look at thread T of the block, (x,y,z) or its number; without T, say which is looked at."""

    def __init__(self):
        super().__init__("cuda thread", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        r = runner()
        if argument.strip():
            thread = index_of(argument, triple(words()["block_size"]), "thread")
            before = Focus.index()
            if not Focus.look_at(thread):
                text = state_text(r, thread)
                Focus.look_at(before)
                raise gdb.GdbError(f"thread {argument.strip()} {text}: it has no frame to look at")
            set_convenience()
            select_kernel_frame()
        print(focus_line())
        if argument.strip():
            gdb.execute("frame")


class ThreadBreakpoint(gdb.Breakpoint):
    """Stops for one thread or block alone."""

    def __init__(self, where, thread=None, block=None, **options):
        super().__init__(where, **options)
        self.cuda_thread, self.cuda_block = thread, block  # `thread` is gdb's own

    def stop(self):
        try:
            r, w = runner(), words()
        except gdb.GdbError:
            return False
        block, thread = self.cuda_block, self.cuda_thread
        if block is not None and int(r["block_index"]) != index_of(block, triple(w["grid_size"]), "block"):
            return False
        return thread is None or int(r["running"]) == index_of(thread, triple(w["block_size"]), "thread")


class CudaBreak(gdb.Command):
    """cuda break WHERE [block B] [thread T]: a breakpoint that only thread T of block B, (x,y,z) or a number, obeys."""

    def __init__(self):
        super().__init__("cuda break", gdb.COMMAND_BREAKPOINTS)

    def invoke(self, argument, from_tty):
        chosen = {}
        pattern = re.compile(r"\s+(block|thread)\s+(\([^)]*\)|[\d,]+)\s*$")
        while match := pattern.search(argument):
            chosen[match[1]] = match[2]
            argument = argument[: match.start()]
        ThreadBreakpoint(argument.strip(), **chosen)


class CudaContinue(gdb.Command):
    """cuda continue T: go on until thread T, which waits, goes on in the kernel."""

    def __init__(self):
        super().__init__("cuda continue", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        size = triple(words()["block_size"])
        thread = index_of(argument, size, "thread")
        if thread == int(runner()["running"]) or not Focus.look_at(thread):
            raise gdb.GdbError(f"thread {argument.strip()} {state_text(runner(), thread)}: it does not wait")
        pc = select_kernel_frame().pc()
        Focus.give_back()
        block = int(runner()["block_index"])
        ThreadBreakpoint(f"*{pc}", str(thread), str(block), internal=True, temporary=True)
        gdb.execute("continue")
        print(focus_line())


class CudaPrint(gdb.Command):
    """cuda print EXPRESSION: its value in every thread of the block that is in the kernel, neighbours together."""

    def __init__(self):
        super().__init__("cuda print", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        r, size = runner(), triple(words()["block_size"])
        before = Focus.index()
        groups = []
        for i in range(int(r["threads"])):
            if not Focus.look_at(i):
                text = state_text(r, i)
            else:
                select_kernel_frame()
                try:
                    text = gdb.parse_and_eval(argument).format_string()
                except gdb.error as error:
                    text = str(error)
            if groups and groups[-1][2] == text:
                groups[-1][1] = i
            else:
                groups.append([i, i, text])
        Focus.look_at(before)
        select_kernel_frame()
        for first, last, text in groups:
            to = "" if first == last else f" to {shown(unfold(last, size))}"
            print(f"{shown(unfold(first, size))}{to}: {text}")


class FaultBreakpoint(gdb.Breakpoint):
    """Where the runner writes a finding down."""

    def __init__(self):
        super().__init__("taut::runner::add_finding", internal=True)
        self.silent = True

    def stop(self):
        return True


class CudaFaults(gdb.Command):
    """cuda faults: stop in the kernel's line where the runner finds a race, a divergent barrier or a bad access."""

    def __init__(self):
        super().__init__("cuda faults", gdb.COMMAND_BREAKPOINTS)

    def invoke(self, argument, from_tty):
        FaultBreakpoint()
        gdb.events.stop.connect(self.say)
        print("stops where the runner finds a fault")

    @staticmethod
    def say(event):
        if not any(isinstance(b, FaultBreakpoint) for b in getattr(event, "breakpoints", [])):
            return
        frame = gdb.newest_frame()
        try:
            print(f"fault: {frame.read_var('fault')}: {frame.read_var('text').format_string()}")
        except (gdb.error, ValueError):
            print("fault")
        select_kernel_frame()
        gdb.execute("frame")


def stopped(event):
    Focus.kept = Focus.thread = None
    set_convenience()


for command in (InfoCuda, InfoKernels, InfoBlocks, InfoThreads, InfoWarps, Cuda, CudaThread, CudaBreak, CudaContinue,
                CudaPrint, CudaFaults):
    command()
gdb.events.stop.connect(stopped)
taut_give_back = Focus.give_back
for resuming in ("continue", "next", "step", "finish", "until", "advance", "stepi", "nexti", "jump"):
    gdb.execute(f"define hook-{resuming}\npython taut_give_back()\nend", to_string=True)
gdb.execute("set print frame-arguments scalars", to_string=True)
