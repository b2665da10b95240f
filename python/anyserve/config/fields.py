"""All that a configuration file may say: the one table from which the reader and the JSON schema are made."""

from __future__ import annotations

from ..pool import MOST_WORKERS
from .amounts import Duration, Size
from .kinds import Or
from .lists import CapabilityPairs, Json, ListOf
from .plain import Choice, Flag, Number, Text, Whole
from .sections import Field, Names, Section

__all__ = ["FILE", "OPTIONS"]

_MOST = 2**32 - 1
_MOST_COUNTED = 2**53 - 1
"""What a number of JSON can count."""
_MIB = 1 << 20
_LARGEST = 1 << 50

_MEMORY = Size(_MIB, _LARGEST, zero=True)
_PORT = Whole(0, 65535)
_TARGET = Text("MODULE:ATTRIBUTE, such as app:app", r"[^\s:./]+(\.[^\s:./]+)*:[^\s:./]+(\.[^\s:./]+)*")
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
_NAME_WANTED = "a name: a letter or digit, then up to 63 letters, digits, '_', '.' or '-'"

_FOR_GPUS = ("gpu", "GPU", "GPUs")
_IN_BUDGET = dict.fromkeys(_FOR_GPUS, "write gpus") | dict.fromkeys(("mem", "ram"), "write memory")
_IN_RESOURCES = dict.fromkeys(("gpus", *_FOR_GPUS), "write gpus beside resources") | {
    "memory": "write memory beside resources"
}
_IN_ASLEEP = dict.fromkeys(("gpus", *_FOR_GPUS), "a sleeping worker keeps no GPU")
_COUNTER = Whole(0, _MOST_COUNTED)

_BUDGET = Section(
    fields=(
        Field(
            "gpus",
            Or("all", None, ListOf(Whole(0, MOST_WORKERS - 1), "a list of GPU indices such as [0, 1]")),
            "The indices of the GPUs that pools may have; all is what is found.",
            "all",
        ),
        Field("memory", _MEMORY, "The memory that the workers may take together, such as 32GiB.", "left to the agent"),
    ),
    names=Names(_COUNTER, _NAME_WANTED, _NAME, _IN_BUDGET),
)

_SERVER = Section(
    fields=(
        Field("host", Text("an address", r"\S+"), "The address to listen on; 0.0.0.0 for all.", "127.0.0.1"),
        Field("port", _PORT, "The gRPC port; 0 takes a free one.", "8000"),
        Field("http_port", _PORT, "The port for the REST API of KServe v2; 0 takes a free one.", "it is not served"),
        Field(
            "metrics_port",
            Or("none", None, _PORT),
            "The port for Prometheus metrics on 127.0.0.1; 0 takes a free one, none serves none.",
            "8002, or a free one if that is taken",
        ),
        Field("max_message_size", Size(1 << 10, 2**31 - 1), "The largest request or response.", "64MiB"),
        Field("max_queue_size", Whole(1, _MOST), "How many requests may wait.", "10000"),
        Field(
            "max_queue_bytes",
            Size(_MIB, _LARGEST),
            "What the tensors of requests under way may hold together.",
            "1GiB",
        ),
        Field(
            "object_store_size",
            Size(_MIB, _LARGEST),
            "What the object store has for the large tensors of requests and responses.",
            "a quarter of the machine's memory",
        ),
        Field("object_port", _PORT, "Where other agents get this one's objects.", "a free port"),
        Field(
            "object_host",
            Text("a name or an address", r"\S+"),
            "The name or address by which other agents reach that port.",
            "that of the host, or the machine's name",
        ),
        Field(
            "object_checksum",
            Flag(),
            "Whether what comes from other agents is checked against a checksum beyond TCP's.",
            "false",
        ),
        Field(
            "allow_client_shm",
            Flag(),
            "Whether clients may pass tensors in shared memory that they register.",
            "false",
        ),
        Field(
            "object_spill",
            Text("a folder", r"[^\n]+"),
            "The folder for a file that objects go to when they have to leave memory; it has no name there.",
            "they are lost",
        ),
        Field("object_spill_size", Size(_MIB, _LARGEST), "What that file takes at most.", "10GiB"),
        Field(
            "api_server",
            Text("http://HOST:PORT, several with commas between them", r"http://[^\s,/]+/?(,http://[^\s,/]+/?)*"),
            "The API server where the agent registers and finds the others.",
            "it is alone",
        ),
        Field(
            "registry",
            Text("a URL such as etcd://HOST:2379", r"\S+"),
            "The registry of the agents, in place of an API server.",
            "it is alone",
        ),
        Field(
            "replica_id",
            Text("1 to 128 visible ASCII characters without ',' and '/'", r"[!-+\-.0-~]{1,128}"),
            "What the agent is called among the others.",
            "the machine's name and the port",
        ),
        Field(
            "advertise",
            Text("HOST or HOST:PORT", r"\S+"),
            "Where others reach the agent.",
            "where it listens; the machine's name if that is 0.0.0.0",
        ),
        Field("lease", Duration(), "How long an agent that says nothing any more is taken for alive.", "15s"),
        Field("drain_timeout", Duration(), "How long what still runs at the end may take.", "30s"),
        Field("stream_stall_timeout", Duration(), "When a stream fails whose client takes nothing.", "60s"),
        Field("start_timeout", Duration(), "How long a worker may take until it is ready, in every pool.", "10m"),
        Field("log_level", Choice(("error", "warn", "info", "debug", "trace")), "What the agent logs.", "info"),
        Field("log_format", Choice(("text", "json")), "How it logs.", "text"),
        Field("debug", Flag(), "Whether clients are sent the tracebacks of handlers.", "false"),
    )
)

_RESOURCES = Section(
    names=Names(
        _COUNTER,
        _NAME_WANTED,
        _NAME,
        _IN_RESOURCES,
    )
)
_ASLEEP = Section(
    fields=(Field("memory", _MEMORY, "The memory that a sleeping worker keeps."),),
    names=Names(_COUNTER, _NAME_WANTED, _NAME, _IN_ASLEEP),
)

OPTIONS = (
    Field(
        "min", Whole(0, MOST_WORKERS), "How many workers are kept, whatever comes.", "1 for functions, 0 for a class"
    ),
    Field("max", Whole(1, MOST_WORKERS), "How many workers there are at most.", "1, or min if that is more"),
    Field("gpus", Whole(0, MOST_WORKERS), "How many GPUs each worker takes.", "0"),
    Field("memory", _MEMORY, "How much of the budget's memory each worker takes.", "0"),
    Field("resources", _RESOURCES, "What each worker takes of the budget's other counters."),
    Field("asleep", _ASLEEP, "What a worker keeps of its resources while it sleeps.", "its memory"),
    Field(
        "idle_timeout",
        Or("never", 0.0, Duration()),
        "How long a worker may be idle before it sleeps, if it can, or stops.",
        "5m",
    ),
    Field("start_timeout", Duration(), "How long a worker may take until it is ready.", "that of the server"),
    Field(
        "stop_timeout",
        Duration(),
        "How long a worker may take to stop once it has no request; then it is killed.",
        "5s",
    ),
    Field(
        "min_residence",
        Duration(zero=True),
        "How long a worker is kept once it is ready, whoever wants its place.",
        "1s",
    ),
    Field(
        "heartbeat_timeout", Duration(), "How long a worker may be without a sign of life before it is killed.", "30s"
    ),
    Field("eviction_cost", Number(1e9), "How much worse it is to evict a worker of this pool than of another.", "1"),
    Field("pinned", Flag(), "Whether its workers are neither evicted nor stopped for being idle.", "false"),
    Field("max_rss", _MEMORY, "The resident memory at which a worker is killed; 0 is no limit.", "0"),
    Field(
        "max_requests",
        Whole(0, _MOST),
        "How many requests a worker serves before another takes its place; 0 is no limit.",
        "0",
    ),
    Field(
        "preload",
        ListOf(Text("the name of a module", r"[^\s:./]+(\.[^\s:./]+)*"), "a list of modules such as [numpy]"),
        "Modules that a fork server imports once, so that workers start faster.",
        "none",
    ),
    Field(
        "slo",
        Duration(),
        "The target time from a request's arrival to its first response.",
        "what the capabilities say themselves",
    ),
)

_POOL = Section(
    fields=(
        Field("target", _TARGET, "The application, as MODULE:ATTRIBUTE. Either this or factory."),
        Field("factory", _TARGET, "What makes the application; each worker calls it once. Either this or target."),
        Field(
            "worker",
            Text("the name of a worker class, or default", r"\S+"),
            "Which of the application's pools: a worker class, or default for its functions.",
        ),
        Field("args", Section(names=Names(Json(), "a name")), "The keyword arguments of the factory."),
        Field(
            "env",
            Section(names=Names(Text(), "the name of a variable", r"[^=\s]+")),
            "Environment variables of its workers.",
        ),
        Field(
            "capabilities",
            ListOf(CapabilityPairs(), "a list of capabilities such as [{type: chat, model: llama}]", at_least=1),
            "What it serves.",
            "what the application says",
        ),
        *OPTIONS,
    ),
    one_of=("target", "factory"),
    needs={"args": "factory"},
    wanted="a pool with a target or a factory",
)

FILE = Section(
    fields=(
        Field("budget", _BUDGET, "What the machine offers. A name that is not fixed is a counter of your own."),
        Field("server", _SERVER, "The settings of `anyserve run`."),
        Field("defaults", Section(OPTIONS), "Options of every pool that does not say itself."),
        Field(
            "pools",
            Section(names=Names(_POOL, _NAME_WANTED, _NAME), at_least=1, wanted="at least one pool"),
            "The pools, each under its name.",
        ),
    ),
    required=("pools",),
    ignored="x-",
    wanted="a mapping with 'pools'",
)
