# The daily commands; `just` without a name lists them.

default:
    @just --list

# Build the command as it is released.
build:
    cargo build --release

# All tests on all engines; RINGSTALL_TEST_NPM=require and RINGSTALL_TEST_RING=require fail where
# those held against npm, or those that need io_uring, cannot run.
test *arguments:
    cargo test --workspace {{arguments}}

# As it is on systems without io_uring.
test-without-ring *arguments:
    cargo test -p ringstall --no-default-features {{arguments}}

# The unsafe code under AddressSanitizer, which is in the stable toolchain and asks for a flag.
address *arguments:
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo test -p ringstall-linux --lib \
        --target "$(rustc -vV | sed -n 's/^host: //p')" --target-dir target/address {{arguments}}

# The same under valgrind; some minutes. It slows everything down, timers as well.
valgrind *arguments="files:: ring::":
    VALGRIND_OPTS="-q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite" \
        cargo test -p ringstall-linux --lib --config 'target."cfg(unix)".runner = "valgrind"' \
        -- {{arguments}}

# What has to be clean before a commit.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy -p ringstall --all-targets --no-default-features -- -D warnings

# Install the example with the released command.
example:
    cargo run --release -- ci -C examples/app

# Time installations of a project against others; `just bench --help` tells what can be asked for.
bench *arguments:
    cargo run --release -- bench {{arguments}}

# Time the engines one by one; `just bench-engines --bench plan` is one of them.
bench-engines *arguments:
    cargo bench {{arguments}}

# Compare trees with npm's: the comparing script, then the folders of projects.
corpus compare +projects:
    cargo build --release
    {{compare}} --ours "$PWD/target/release/ringstall ci --ignore-scripts -q" {{projects}}
