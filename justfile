# Shortcuts to the commands of a day; each can be typed without just.

# What there is.
default:
    @just --list --unsorted

# The whole system on this machine: `just demo --headless --for 20s`.
demo *arguments:
    ./demo {{arguments}}

# Everything that must hold before a commit, or the tests with a name: `just test -- delivery`.
test *arguments:
    ./test {{arguments}}

# Format and lints.
lint:
    cargo fmt --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Writes anew what is made from the code: .env.example, the settings in README.md, the map in ARCHITECTURE.md.
regenerate:
    MILLSTREAM_REGENERATE=1 cargo test --workspace --locked tidy

# Cold start, memory and commands of an idle worker.
figures *arguments:
    scripts/figures {{arguments}}

# From a key to its frame at 200x50, with as much on it as the console ever shows.
bench-console *arguments:
    cargo bench -p millstream-tui --bench console --locked {{arguments}}

# What one console and ten cost: memory, and processor time of both servers.
console-load *arguments:
    scripts/console-load {{arguments}}

# What a console keeps in memory on a busy queue: `just console-memory 1h`.
console-memory *arguments:
    scripts/console-memory {{arguments}}

# How soon the first of a million pending entries stand on a console, and what that costs Valkey.
console-pending *arguments:
    scripts/console-pending {{arguments}}

# Submissions over HTTP beside the same insert and XADD alone, in one run; and what a thousand open streams keep.
bench-web:
    cargo build --release --locked
    cargo test --release --locked -p millstream-tests --test suite -- --ignored --nocapture --test-threads 1 web::bench

# Ten thousand submissions at once to a queue that takes a quarter of them, and two hundred of the largest bodies: against a
# process, with what it keeps in memory.
burst:
    cargo build --workspace --locked
    cargo test --locked -p millstream-tests --test suite -- --ignored --nocapture --test-threads 1 web::process

# Requests of every kind against the web producer, made from its document: `just fuzz 10` for ten minutes.
fuzz *arguments:
    scripts/fuzz {{arguments}}

# The documentation of the code.
doc:
    cargo doc --workspace --no-deps --locked --open

# Queue, engine and store on Redis 7.0, Valkey 8 and Valkey 9, as far as they are to be had: `just matrix redis-7`.
matrix *servers:
    scripts/server-matrix {{servers}}

# An earlier version's worker beside the present one: `just old-beside-new v0.1.0`, else the commit before.
old-beside-new *rev:
    scripts/old-beside-new {{rev}}

# Loses the reply to every command and statement in every way; with a number another sample of them.
lost-replies which="all":
    MILLSTREAM_LOST_REPLIES={{which}} cargo test --locked -p millstream-tests --test suite -- --nocapture lost_replies

# Drivers of a run are killed so many times, and each job is put back once: `just kills 5000`.
kills count="1000":
    MILLSTREAM_KILLS={{count}} cargo test --locked -p millstream-tests --test suite -- --nocapture over_many_kills

# Random cases on the real servers beside a model of them, 100,000 or as many as are said: `just soak 5000`. It prints
# its seed; MILLSTREAM_MODEL_SEED repeats a run.
soak cases="100000":
    MILLSTREAM_SOAK_CASES={{cases}} cargo test --profile soak --locked -p millstream-tests --test suite -- --nocapture whatever_happens

# Producers and workers as processes, kills, freezes, restarts, cut lines and a FLUSHALL: `just chaos 10` for ten runs.
# `CHAOS_SEED=1 just chaos` repeats the order of the faults.
chaos runs="1":
    CHAOS_RUNS={{runs}} cargo test --workspace --locked --test suite -- --exact chaos::the_whole_of_it --ignored --nocapture
