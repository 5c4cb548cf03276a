//! The radio: joins a network by the driver of the chip's maker.

use esp_hal::peripherals::WIFI;
use esp_radio::wifi::sta::StationConfig;
use esp_radio::wifi::{
    AuthenticationMethodConfig, Config, ConnectionError, ControllerConfig, DisconnectReason, WifiController, WifiError,
};
use waft_receiver::wifi::{JoinError, Wifi};

pub(crate) use esp_radio::wifi::Interface;

/// The radio of the chip.
pub(crate) struct Radio(WifiController<'static>);

impl Radio {
    /// Turns on the radio. `None` if its driver fails.
    pub(crate) fn start(device: WIFI<'static>) -> Option<Self> {
        let started = WifiController::new(device, ControllerConfig::default());
        started.inspect_err(|error| defmt::error!("the radio does not start: {}", error)).ok().map(Self)
    }
}

impl waft_receiver::wifi::Radio for Radio {
    async fn join(&mut self, wifi: &Wifi) -> Result<(), JoinError> {
        let Self(controller) = self;
        let ssid = wifi.ssid.as_str().try_into().map_err(|_: WifiError| JoinError::Rejected)?;
        let authentication = match &wifi.passphrase[..] {
            [] => AuthenticationMethodConfig::Open,
            // The least that is accepted. The driver prefers WPA3 where the network offers it.
            secret => AuthenticationMethodConfig::Wpa2Personal(
                secret.try_into().map_err(|_: WifiError| JoinError::WrongPassphrase)?,
            ),
        };
        let station = StationConfig::default().with_ssid(ssid).with_authentication(authentication);
        controller.set_config(&Config::Station(station)).map_err(|error| failed("is not configured", error))?;
        match controller.connect_async().await {
            Ok(_) => Ok(()),
            Err(ConnectionError::Failed(info)) => Err(reason(info.reason)),
            Err(ConnectionError::WifiError(error)) => Err(failed("does not join", error)),
            Err(_) => Err(JoinError::Radio),
        }
    }

    async fn leave(&mut self) {
        // It is an error if there is nothing to leave.
        let _ = self.0.disconnect_async().await;
    }
}

fn failed(what: &str, error: WifiError) -> JoinError {
    defmt::warn!("the radio {=str}: {}", what, error);
    JoinError::Radio
}

/// Why the access point, or its absence, ended the attempt. The driver reports a wrong passphrase as a handshake that ends
/// by a time limit, or as a failed authentication. An authentication that expires can also mean that the signal is weak.
fn reason(reason: DisconnectReason) -> JoinError {
    use DisconnectReason as Reason;
    match reason {
        Reason::NoAccessPointFound | Reason::NoAccessPointFoundInRssiThreshold | Reason::BeaconTimeout => {
            JoinError::NotFound
        }
        Reason::FourWayHandshakeTimeout
        | Reason::HandshakeTimeout
        | Reason::MicFailure
        | Reason::AuthenticationFailed => JoinError::WrongPassphrase,
        _ => JoinError::Rejected,
    }
}
