//! The allocation groups of an xfs, which it tells of itself.

use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Getter, Opcode, opcode};

/// The groups that an xfs puts its inodes in: how many there are, and which an inode is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocationGroups {
    count: u32,
    /// How many low bits of an inode's number tell where it is in its group.
    bits: u32,
}

impl AllocationGroups {
    /// Those of the filesystem that `directory` is on. Fails with `ENOTTY` where that is no xfs.
    pub fn of(directory: impl AsFd) -> io::Result<Self> {
        // SAFETY: the kernel fills a `xfs_fsop_geom_v1` for this request, which `Geometry` is as
        // long as and laid out as; all bytes are a value of it.
        let getter = unsafe { Getter::<GEOMETRY, Geometry>::new() };
        // SAFETY: the request reads nothing but the number of the file, and writes only what
        // `getter` owns, which it does before it returns.
        let geometry = unsafe { rustix::ioctl::ioctl(directory, getter) }?;
        Self::new(&geometry).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// As `XFS_INO_TO_AGNO` in fs/xfs/xfs_inode.h has it: a number is that of the group, that of
    /// the block in the group, and that of the inode in the block.
    fn new(geometry: &Geometry) -> Option<Self> {
        let block_bits = geometry.agblocks.checked_next_power_of_two()?.trailing_zeros();
        let inodes_per_block = geometry.blocksize.checked_div(geometry.inodesize)?;
        let bits = block_bits + inodes_per_block.checked_ilog2()?;
        (geometry.agcount > 0).then_some(Self { count: geometry.agcount, bits })
    }

    /// At least one.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The group of an inode, by its number (`st_ino`).
    pub fn of_inode(&self, inode: u64) -> u64 {
        inode.checked_shr(self.bits).unwrap_or(0)
    }
}

/// `struct xfs_fsop_geom_v1` of fs/xfs/libxfs/xfs_fs.h, in whose words the fields are named.
#[repr(C)]
struct Geometry {
    blocksize: u32,
    rtextsize: u32,
    agblocks: u32,
    agcount: u32,
    logblocks: u32,
    sectsize: u32,
    inodesize: u32,
    imaxpct: u32,
    rest: [u64; 10],
}

/// `XFS_IOC_FSGEOMETRY_V1`.
const GEOMETRY: Opcode = opcode::read::<Geometry>(b'X', 100);

const _: () = assert!(size_of::<Geometry>() == 112);

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(blocksize: u32, agblocks: u32, agcount: u32, inodesize: u32) -> Geometry {
        let (rtextsize, logblocks, sectsize, imaxpct) = (1, 1, 512, 25);
        let rest = [0; 10];
        Geometry {
            blocksize,
            rtextsize,
            agblocks,
            agcount,
            logblocks,
            sectsize,
            inodesize,
            imaxpct,
            rest,
        }
    }

    #[test]
    fn the_high_bits_of_an_inode_are_its_group() {
        // 8 inodes in a block, and 2,621,440 blocks in a group: 3 and 22 bits.
        let groups = AllocationGroups::new(&geometry(4096, 2_621_440, 4, 512)).unwrap();
        assert_eq!(groups.count(), 4);
        let group = |inode| groups.of_inode(inode);
        assert_eq!([128, (1 << 25) - 1, 1 << 25, 3 << 25].map(group), [0, 0, 1, 3]);
    }

    #[test]
    fn what_is_no_geometry_has_no_groups() {
        for (blocksize, agblocks, agcount, inodesize) in
            [(4096, 100, 0, 512), (4096, u32::MAX, 4, 512), (4096, 100, 4, 0), (256, 100, 4, 512)]
        {
            let geometry = geometry(blocksize, agblocks, agcount, inodesize);
            assert_eq!(AllocationGroups::new(&geometry), None);
        }
    }

    #[test]
    fn what_is_no_xfs_says_so() {
        let error = AllocationGroups::of(std::fs::File::open("/proc").unwrap()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    }
}
