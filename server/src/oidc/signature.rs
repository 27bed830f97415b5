//! What a signature is checked with: ring, as everything else here. Nothing is ever signed.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{self as checks, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use signature::Verifier;

static WITH_RING: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    // For keys made here, of which there are none.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Once in a process; again does nothing.
pub(super) fn install() {
    let _ = WITH_RING.install_default();
}

/// Keys of RSA are of 2048 bits or more: ring takes no shorter ones.
struct Rsa {
    algorithm: Algorithm,
    parameters: &'static RsaParameters,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

struct Curve {
    algorithm: Algorithm,
    check: &'static dyn checks::VerificationAlgorithm,
    point: Vec<u8>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the provider's table has it so")]
fn signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

/// Only for a key of the algorithm's own family: a public key is never a shared secret.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the provider's table has it so")]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let (family, check) = match algorithm {
        Algorithm::RS256 => return rsa(*algorithm, &checks::RSA_PKCS1_2048_8192_SHA256, key),
        Algorithm::RS384 => return rsa(*algorithm, &checks::RSA_PKCS1_2048_8192_SHA384, key),
        Algorithm::RS512 => return rsa(*algorithm, &checks::RSA_PKCS1_2048_8192_SHA512, key),
        Algorithm::PS256 => return rsa(*algorithm, &checks::RSA_PSS_2048_8192_SHA256, key),
        Algorithm::PS384 => return rsa(*algorithm, &checks::RSA_PSS_2048_8192_SHA384, key),
        Algorithm::PS512 => return rsa(*algorithm, &checks::RSA_PSS_2048_8192_SHA512, key),
        Algorithm::ES256 => (
            AlgorithmFamily::Ec,
            &checks::ECDSA_P256_SHA256_FIXED as &'static dyn checks::VerificationAlgorithm,
        ),
        Algorithm::ES384 => (AlgorithmFamily::Ec, &checks::ECDSA_P384_SHA384_FIXED as _),
        Algorithm::EdDSA => (AlgorithmFamily::Ed, &checks::ED25519 as _),
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    };
    if key.family() != family {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    Ok(Box::new(Curve { algorithm: *algorithm, check, point: key.try_get_as_bytes()?.to_vec() }))
}

fn rsa(
    algorithm: Algorithm,
    parameters: &'static RsaParameters,
    key: &DecodingKey,
) -> Result<Box<dyn JwtVerifier>, Error> {
    match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            Ok(Box::new(Rsa { algorithm, parameters, modulus: n.clone(), exponent: e.clone() }))
        }
        DecodingKeyKind::SecretOrDer(_) => Err(ErrorKind::InvalidKeyFormat.into()),
    }
}

impl Verifier<Vec<u8>> for Rsa {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let key = RsaPublicKeyComponents { n: &self.modulus, e: &self.exponent };
        key.verify(self.parameters, message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Rsa {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Curve {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let key = UnparsedPublicKey::new(self.check, &self.point);
        key.verify(message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Curve {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
