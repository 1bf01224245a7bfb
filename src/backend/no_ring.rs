//! What `ring` offers, for hosts without io_uring: it can never be had.

use std::io;

use super::engines::{Class, Tally};
use super::queue::Failure;
use super::{Bases, Operation};

#[derive(Debug)]
pub enum RingQueue {}

impl RingQueue {
    pub fn new(_bases: &Bases, _workers: u32, _batch: u32) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this program was built without io_uring"))
    }

    pub fn is_refused(&self, _class: Class) -> bool {
        match *self {}
    }

    pub fn push(
        &mut self,
        _operation: Operation,
        _class: Class,
        _tally: &mut Tally,
    ) -> Result<(), Box<Failure>> {
        match *self {}
    }

    pub fn finish_directories(&mut self, _tally: &mut Tally) -> Result<(), Box<Failure>> {
        match *self {}
    }

    pub fn finish(&mut self, _last: Class, _tally: &mut Tally) -> Result<(), Box<Failure>> {
        match *self {}
    }

    pub fn refusal(&self) -> Option<&str> {
        match *self {}
    }
}
