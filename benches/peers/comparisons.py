"""What is compared with what, and what is asked of it."""

from dataclasses import dataclass

SIZES = ("1x4x64x64", "1x16x128x128", "16x3x256x256")
BIG = "50x4x512x512"  # 200 MiB of f32
EACH = (2.5, 2.5, 2.5)


@dataclass
class Peer:
    """Another's way of doing the same; `asked` has the least ratio for each size, or is empty."""

    name: str
    side: str
    row: str
    asked: tuple = ()


@dataclass
class Work:
    """A row of this crate and those it is measured against.

    `streams` is set where bandwidths are compared instead of times: arrays read and written here,
    against the three of the triad.
    """

    name: str
    row: str
    sizes: tuple
    peers: list
    side: str = "rust"
    streams: int = 0
    probe: str = ""


WORKS = [
    Work(
        "DDPM step with its noise",
        "ddpm",
        SIZES,
        [
            Peer("diffusers, 1 thread", "torch", "ddpm", (9, 6, 6)),
            Peer("candle-transformers", "rust", "candle-ddpm", (7, 10, 9)),
            Peer("in-place torch by hand, 1 thread", "torch", "hand-ddpm", EACH),
            Peer("in-place torch by hand, 2 threads", "torch", "hand-ddpm@2", EACH),
        ],
        probe="ddpm",
    ),
    Work(
        "DDIM step, eta 0, in place",
        "ddim",
        SIZES,
        [Peer("diffusers, 1 thread", "torch", "ddim", (40, 18, 9))],
        probe="ddim",
    ),
    Work(
        "DPM++ 2M step",
        "dpmpp-2m",
        SIZES,
        [Peer("diffusers, 1 thread", "torch", "dpmpp-2m", (40, 14, 9))],
        probe="dpmpp-2m",
    ),
    Work(
        "UniPC-2 step",
        "unipc-2",
        SIZES,
        [Peer("diffusers, 1 thread", "torch", "unipc-2", (100, 20, 16))],
        probe="unipc-2",
    ),
    Work(
        "training jump, a time per item, noise returned",
        "jump",
        ("128x3x32x32",),
        [Peer("`randn_like` and diffusers' `add_noise`, 1 thread", "torch", "jump", (3,))],
        probe="jump",
    ),
    Work(
        "the same into arrays that are kept",
        "jump-into",
        ("128x3x32x32",),
        [Peer("`randn_like` and diffusers' `add_noise`, 1 thread", "torch", "jump", (3,))],
    ),
    Work(
        "seeded noise",
        "noise",
        ("16384", "1048576"),
        [
            Peer("`torch.randn`, 1 thread", "torch", "randn", (2.5, 2.5)),
            Peer("rand_distr with StdRng", "rust", "std-rng", (4, 4)),
        ],
    ),
    Work(
        "noise from StdRng through the crate",
        "std-rng-here",
        ("16", "16384", "1048576"),
        [Peer("rand_distr with StdRng", "rust", "std-rng")],
    ),
    Work(
        "1000-step table and 50 Karras nodes",
        "table",
        ("1",),
        [Peer("diffusers' DPM++ 2M Karras, made and `set_timesteps(50)`", "torch", "table", (80,))],
    ),
    Work(
        "the same and the plan of its steps",
        "table-plan",
        ("1",),
        [Peer("the same of diffusers, which plans in its steps", "torch", "table")],
    ),
    *(
        Work(
            f"update of {streams} streams in place",
            f"streams-{streams}",
            SIZES,
            [Peer("triad", "rust", "triad", (0.8, 0.8, 0.8))],
            streams=streams,
        )
        for streams in (2, 3, 4, 5)
    ),
    Work(
        "update of 3 streams into another array",
        "triad-here",
        SIZES,
        [Peer("triad", "rust", "triad", (0.8, 0.8, 0.8))],
        streams=3,
    ),
    # Only with a build that has the feature `rayon`. Never slower, within what a measurement can tell.
    *(
        Work(
            f"{name} step on all threads",
            row,
            (*SIZES, BIG),
            [Peer("the same without `rayon`", "rust", row, (0.95, 0.95, 0.95, 1.8))],
            side="rayon",
        )
        for name, row in (("DDPM", "ddpm"), ("DDIM", "ddim"))
    ),
    # A network runs between two steps, and the threads of the crate may sleep meanwhile.
    *(
        Work(
            f"{name} step on all threads, after a rest",
            f"{row}@rested",
            SIZES,
            [Peer("the same without `rayon`", "rust", f"{row}@rested", (0.95, 0.95, 0.95))],
            side="rayon",
        )
        for name, row in (("DDPM", "ddpm"), ("DDIM", "ddim"))
    ),
]
