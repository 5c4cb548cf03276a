//! stub
/// stub
pub struct TransferKey([u8; 16]);
impl TransferKey {
    /// stub
    pub fn parse(text: &str) -> Result<Self, core::convert::Infallible> {
        Ok(Self(text.as_bytes().try_into().unwrap()))
    }
    /// stub
    pub fn canonical(&self) -> &[u8; 16] {
        &self.0
    }
}
