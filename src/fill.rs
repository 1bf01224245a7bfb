//! Filling the cache: what a lockfile needs is fetched and unpacked there, and nothing is placed.

use std::sync::Arc;

use crate::backend::{NetworkDriver, machine};
use crate::config::Settings;
use crate::delivery::{Delivered, Parcel, deliver, look_up};
use crate::error::Result;
use crate::fetch::FetchOptions;
use crate::http::{Budget, Limits};
use crate::journal::Event;
use crate::site::Site;

/// How tarballs are asked for, whatever becomes of them.
#[derive(Clone, Copy, Debug)]
pub struct Supply<'s> {
    pub settings: &'s Settings,
    pub driver: NetworkDriver,
}

/// Memory for tarballs between the network and the workers: a few of the larger ones for each
/// worker, far below what the workers unpack them into.
const BODIES_BYTES_MAX: u64 = 48 << 20;

/// Makes the cache hold all parcels that can be had. Their targets are dropped; afterwards only
/// the optional ones among [`Delivered::failed`] are not `stored`.
pub fn fill(site: &Site<'_>, parcels: &mut [Parcel<'_>], supply: &Supply<'_>) -> Result<Delivered> {
    for parcel in &mut *parcels {
        parcel.targets.clear();
    }
    look_up(site, parcels)?;
    let delivered = supply.deliver(site, parcels, || Ok(()))?;
    look_up(site, parcels)?;
    Ok(delivered)
}

impl Supply<'_> {
    /// [`deliver`] with what the settings say.
    pub fn deliver(
        &self,
        site: &Site<'_>,
        parcels: &[Parcel<'_>],
        make_room: impl FnOnce() -> Result<()>,
    ) -> Result<Delivered> {
        let is_download = |parcel: &&Parcel| parcel.stored.is_none() && parcel.at_hand.is_none();
        let downloads = parcels.iter().filter(is_download).count();
        site.journal.board().want_downloads(downloads);
        site.journal.tell(|| Event::Plan { tarballs: parcels.len(), downloads });
        deliver(site, parcels, self.fetch_options(site), make_room)
    }

    fn fetch_options(&self, site: &Site<'_>) -> FetchOptions {
        let mut network = self.settings.network.clone();
        network.connections_max = network.connections_max.min(connections_max());
        // What is known to be refused is neither tried nor told again.
        let driver = match self.driver {
            NetworkDriver::Auto if site.engines.refusal().is_some() => NetworkDriver::Epoll,
            driver => driver,
        };
        FetchOptions {
            driver,
            network,
            registries: Arc::new(self.settings.registries.clone()),
            limits: Limits::default(),
            budget: Budget::new(BODIES_BYTES_MAX),
            spool: site.cache.temporary(),
            journal: site.journal.clone(),
        }
    }
}

/// A quarter of the files that may be open is for connections; the rest is for those to other
/// origins, and for what the workers read and write.
fn connections_max() -> usize {
    let open_files = machine::open_files_max().unwrap_or(u64::MAX);
    usize::try_from(open_files / 4).unwrap_or(usize::MAX).max(1)
}
