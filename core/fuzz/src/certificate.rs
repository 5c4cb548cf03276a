//! Target for certificates of peers, in PEM and in DER. Whatever parses is written and parsed to the same value again.

use waft::certificate::Certificate;
use waft_receiver::identity::TrustedSender;

/// Parses the input as PEM and as DER.
pub fn run(data: &[u8]) {
    let parsed = [Certificate::from_pem(data), Certificate::from_der(data.to_vec())];
    for certificate in parsed.into_iter().flatten() {
        let again = Certificate::from_pem(certificate.to_pem().as_bytes()).expect("a written certificate parses");
        assert!(again == certificate && again.point() == certificate.point() && again.hpke() == certificate.hpke());
        assert_eq!(again.fingerprint(), certificate.fingerprint());
        // A board reads the same key from it, unless it does not take the certificate.
        if let Ok(sender) = TrustedSender::from_certificate("laptop", certificate.der()) {
            assert_eq!((sender.hash, &sender.point), (certificate.hash(), certificate.point()));
        }
    }
}
