//! Filling the cache: what a lockfile needs is fetched and unpacked there, and nothing is placed.

use std::sync::Arc;

use crate::backend::{NetworkDriver, machine};
use crate::config::Settings;
use crate::delivery::{Delivered, Parcel, deliver, look_up};
use crate::error::{Code, Error, Result};
use crate::fetch::FetchOptions;
use crate::http::{Budget, Limits};
use crate::journal::Event;
use crate::npm_cache::NpmCache;
use crate::plan::count;
use crate::site::Site;
use crate::sources;

/// How tarballs are asked for, whatever becomes of them.
#[derive(Clone, Copy, Debug)]
pub struct Supply<'s> {
    pub settings: &'s Settings,
    pub driver: NetworkDriver,
}

/// Memory for tarballs between the network and the workers: a few of the larger ones for each
/// worker, far below what the workers unpack them into.
const BODIES_BYTES_MAX: u64 = 48 << 20;

/// Makes our cache hold all parcels that can be had. Their targets are dropped; afterwards only
/// the optional ones among [`Delivered::failed`] are not `stored`.
pub fn fill(site: &Site<'_>, parcels: &mut [Parcel<'_>], supply: &Supply<'_>) -> Result<Delivered> {
    for parcel in &mut *parcels {
        parcel.targets.clear();
    }
    supply.look_up(site, parcels)?;
    let delivered = supply.deliver(site, parcels, || Ok(()))?;
    look_up(site, parcels)?;
    Ok(delivered)
}

impl Supply<'_> {
    /// Finds what our cache holds, and for what it does not, what npm's has.
    pub fn look_up(&self, site: &Site<'_>, parcels: &mut [Parcel<'_>]) -> Result<()> {
        look_up(site, parcels)?;
        let is_missing = |parcel: &Parcel<'_>| parcel.stored.is_none() && parcel.at_hand.is_none();
        if parcels.iter().any(is_missing)
            && let Some(cache) = self.settings.npm_cache.as_deref().and_then(NpmCache::open)
        {
            cache.look_up(site.workers, parcels, self.settings.prefer_online);
        }
        Ok(())
    }

    /// [`deliver`] with what the settings say. What cannot be had at
    /// all, because of `offline` or a cache that must not be written, is refused before anything
    /// is touched.
    pub fn deliver(
        &self,
        site: &Site<'_>,
        parcels: &mut [Parcel<'_>],
        make_room: impl FnOnce() -> Result<()>,
    ) -> Result<Delivered> {
        if self.settings.offline {
            self.refuse_missing(parcels)?;
        }
        let can_be_had =
            |parcel: &&Parcel<'_>| !self.settings.offline || !has_to_be_downloaded(parcel);
        let missing = parcels.iter().filter(|parcel| parcel.stored.is_none());
        let written = missing.filter(can_be_had).count();
        if written > 0 {
            site.cache.check_writable(written)?;
        }
        let early = self.unpack_early(site, parcels)?;
        // The tarballs that repositories are packed into live as long as this.
        let mut packed = sources::obtain(site, parcels, self)?;
        let downloads = parcels.iter().filter(|parcel| has_to_be_downloaded(parcel)).count();
        site.journal.board().want_downloads(downloads);
        site.journal.tell(|| Event::Plan { tarballs: parcels.len(), downloads });
        let options = (!self.settings.offline).then(|| self.fetch_options(site));
        let mut delivered = deliver(site, parcels, options, make_room)?;
        delivered.from_npm_cache += early.from_npm_cache;
        delivered.warnings.extend(early.warnings);
        packed.explain(&mut delivered.failed);
        Ok(delivered)
    }

    /// Where the network must not be asked, a file of npm's cache that is damaged is as bad as one
    /// that is missing: it is to be found before anything is touched. So all of them are unpacked
    /// into our cache first.
    fn unpack_early(&self, site: &Site<'_>, parcels: &mut [Parcel<'_>]) -> Result<Delivered> {
        let is_npms =
            |parcel: &&Parcel<'_>| parcel.stored.is_none() && parcel.cached_by_npm.is_some();
        if !self.settings.offline || !parcels.iter().any(|parcel| is_npms(&parcel)) {
            return Ok(Delivered::default());
        }
        let copies: Vec<_> = parcels.iter().filter(is_npms).map(Parcel::without_targets).collect();
        let journal = site.journal.of_preparation();
        let delivered = deliver(&Site { journal: &journal, ..*site }, &copies, None, || Ok(()))?;
        look_up(site, parcels)?;
        // What is optional and damaged is done without.
        for parcel in parcels {
            parcel.cached_by_npm = None;
        }
        Ok(delivered)
    }

    /// Names all that would have to be downloaded, at once. Where only optional packages are
    /// missing they are left out, as in npm.
    fn refuse_missing(&self, parcels: &[Parcel<'_>]) -> Result<()> {
        let missing = || parcels.iter().filter(|parcel| has_to_be_downloaded(parcel));
        if missing().all(|parcel| parcel.is_optional) {
            return Ok(());
        }
        let missing: Vec<_> = missing().map(|parcel| parcel.label.as_str()).collect();
        let npm_cache = self.settings.npm_cache.as_deref();
        let npm_cache = match npm_cache.filter(|folder| NpmCache::open(folder).is_some()) {
            Some(folder) => format!(", which npm's in `{}` lacks as well,", folder.display()),
            None => String::new(),
        };
        let message = format!(
            "the cache lacks {}{npm_cache} and `offline` is set\n\n{}",
            count(missing.len(), "package"),
            missing.join("\n")
        );
        Err(Error::new(Code::NotCached, message)
            .with_hint("install once without it, or fill the cache with `ringstall fetch`"))
    }

    pub fn fetch_options(&self, site: &Site<'_>) -> FetchOptions {
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

fn has_to_be_downloaded(parcel: &Parcel<'_>) -> bool {
    parcel.stored.is_none() && parcel.at_hand.is_none() && parcel.cached_by_npm.is_none()
}

/// A quarter of the files that may be open is for connections; the rest is for those to other
/// origins, and for what the workers read and write.
fn connections_max() -> usize {
    let open_files = machine::open_files_max().unwrap_or(u64::MAX);
    usize::try_from(open_files / 4).unwrap_or(usize::MAX).max(1)
}
