//! The secret of a board that was never provisioned, in the settings: how it is drawn, stored and read again. The board's
//! identity is derived from it, see `identity::own`.

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;

use super::format::{ERASED, Head, OWN, RESET};
use super::sectors::Sectors;
use super::{Settings, SettingsError, State};
use crate::board::StartupError;
use crate::entropy::{Sources, Trng, draw_tested};
use crate::flash::Fault;
use crate::identity::Identity;
use crate::seed::{Secret, SeedError};

impl<M: RawMutex, F: NorFlash> Settings<'_, M, F> {
    /// The identity of a board that was never provisioned, made in `place`. It is derived from
    /// [`own_secret`](Self::own_secret). Call it only if the area of the identity image is blank, which is
    /// [`IdentityError::Missing`](crate::identity::IdentityError::Missing): a damaged image may be repaired.
    pub async fn own_identity<'p>(
        &self,
        trng: &mut impl Trng,
        place: &'p mut Option<Identity>,
    ) -> Result<&'p mut Identity, StartupError> {
        let secret = self.own_secret(trng).await?;
        self.update(|known| known.is_own = true);
        Ok(Identity::own(&secret, place))
    }

    /// The secret from which a board that was never provisioned derives its identity. If the flash contains none, draws
    /// one from the chip's generator and stores it. It stays the same at all later starts, until a factory reset. Call it
    /// before [`mount`](Self::mount).
    ///
    /// Fails without a good generator, and if the settings are damaged or cannot be read: they may contain a secret.
    pub async fn own_secret(&self, trng: &mut impl Trng) -> Result<Secret, StartupError> {
        let mut state = self.state.lock().await;
        let mut sectors = self.lock().await;
        let found = Self::find(&mut sectors, &mut state).await.map_err(StartupError::Settings)?;
        let secret = match found {
            Some((live, head)) if head.flags & OWN != 0 => read_secret(&mut sectors, &mut state, live).await,
            _ => {
                // The generator of a board may use the flash.
                drop(sectors);
                let drawn = draw_tested(trng)
                    .await
                    .map_err(|fault| StartupError::Entropy(Sources { trng: Err(fault), seed: Err(SeedError::Lost) }))?;
                self.store_secret(&mut self.lock().await, &mut state, found, &drawn).await.map(|()| drawn)
            }
        };
        let secret = secret.map_err(StartupError::Settings)?;
        (state.origin, state.flags) = (Some(*secret), OWN);
        Ok(secret)
    }

    /// Stores a new secret. A factory reset that is not complete stays so.
    async fn store_secret(
        &self,
        sectors: &mut Sectors<'_, M, F>,
        state: &mut State,
        found: Option<(usize, Head)>,
        secret: &Secret,
    ) -> Result<(), SettingsError> {
        let pending = found.map_or(0, |(_, head)| head.flags & RESET);
        (state.origin, state.flags) = (Some(**secret), OWN | pending);
        state.live = found.map(|(live, _)| live);
        let stored = self.store(sectors, state, None).await;
        // If this failed, the settings still belong to no identity, and nothing may be stored as the secret of one.
        (state.origin, state.flags) = (None, 0);
        stored
    }
}

/// Reads the secret of a copy, and makes sure that the copy counts from now on.
async fn read_secret<M: RawMutex, F: NorFlash>(
    sectors: &mut Sectors<'_, M, F>,
    state: &mut State,
    live: usize,
) -> Result<Secret, SettingsError> {
    let secret = sectors.cell(live, 1).await.map_err(|Fault| SettingsError::Unreadable)?;
    if secret == ERASED {
        return Err(SettingsError::Lost);
    }
    if !state.is_settled {
        sectors.mark(live).await?;
        // A torn mark of the other copy, such as that of a factory reset, may read otherwise when the settings are
        // mounted. If this fails, it is tried again then.
        state.is_settled = sectors.clear(1 - live).await.is_ok();
    }
    Ok(secret.into())
}
