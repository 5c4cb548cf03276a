//! stub
/// stub
pub struct TransferKey([u8; 16]);
impl TransferKey {
    /// stub
    pub fn canonical(&self) -> &[u8; 16] {
        &self.0
    }
}
