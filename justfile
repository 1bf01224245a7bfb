# The daily commands; `just` without a name lists them.

default:
    @just --list

# Build the command as it is released.
build:
    cargo build --release

# All tests; RINGSTALL_TEST_NPM=require fails where those held against npm cannot run.
test *arguments:
    cargo test --workspace {{arguments}}

# What has to be clean before a commit.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Install the example with the released command.
example:
    cargo run --release -- ci -C examples/app

# Time a cold install and a warm link against others; `just phases --help` tells what is needed.
phases *arguments:
    cargo build --release
    python3 benches/phases.py {{arguments}}

# Compare trees with npm's: the comparing script, then the folders of projects.
corpus compare +projects:
    cargo build --release
    {{compare}} --ours "$PWD/target/release/ringstall ci --ignore-scripts -q" {{projects}}
