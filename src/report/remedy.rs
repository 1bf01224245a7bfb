//! What can be done about an error that names no remedy itself: by its code, or by what the system
//! said in the end. Where nothing helps for certain, nothing is said.

use std::error::Error as StdError;
use std::io;

use rustix::io::Errno;

use crate::error::{Code, Error};

/// The error's own hint, or one for its cause.
pub fn remedy(error: &Error) -> Option<&str> {
    error.hint().or_else(|| of_cause(error)).or_else(|| of_code(error.code()))
}

fn of_cause(error: &Error) -> Option<&'static str> {
    let mut cause = error.source();
    while let Some(source) = cause {
        let errno = source.downcast_ref::<io::Error>().and_then(Errno::from_io_error);
        match errno {
            Some(Errno::NOSPC | Errno::DQUOT) => {
                return Some(
                    "make space; `ringstall cache prune` removes packages that were not used \
                     lately",
                );
            }
            Some(Errno::MFILE | Errno::NFILE) => {
                return Some("raise the limit of open files (ulimit -n), or use fewer --jobs");
            }
            _ => cause = source.source(),
        }
    }
    None
}

fn of_code(code: Code) -> Option<&'static str> {
    match code {
        Code::Network => Some(
            "see whether the registry can be reached from here, and whether `registry` and the \
             proxies in `.npmrc` are what they should be",
        ),
        Code::NotFound => Some(
            "the version may have been taken back, or the registry hides it from who has no token \
             for it",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_error_says_itself_comes_first() {
        let error = Error::new(Code::Network, "x").with_hint("y");
        assert_eq!(remedy(&error), Some("y"));
    }

    #[test]
    fn a_full_disk_is_seen_behind_other_causes() {
        let cause = Error::io("write", "a", Errno::NOSPC.into());
        let error = Error::new(Code::Network, "failed to install a").with_source(cause);
        assert!(remedy(&error).is_some_and(|hint| hint.starts_with("make space")));
    }

    #[test]
    fn where_nothing_helps_for_certain_nothing_is_said() {
        assert_eq!(remedy(&Error::new(Code::Integrity, "x")), None);
        assert_eq!(remedy(&Error::io("open", "a", Errno::ACCESS.into())), None);
    }
}
