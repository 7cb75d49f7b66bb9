package com.berthdata.berth.spark;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.attribute.FileTime;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.Collection;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManagerFactory;

/** Which certificates of Berth are believed: those of a file, read again when it changes, or Java's. */
final class Trust {
  private final Path file; // null: Java's own
  private SSLSocketFactory factory;
  private FileTime read;

  private Trust(Path file) {
    this.file = file;
  }

  /** Fails when the file holds no certificate. */
  static Trust of(String caFile) {
    if (caFile.isEmpty()) {
      return new Trust(null);
    }
    Trust t = new Trust(Paths.get(caFile));
    try {
      t.sockets();
    } catch (IOException | GeneralSecurityException e) {
      throw new IllegalStateException(Identity.CA_FILE + "=" + caFile + ": " + e.getMessage(), e);
    }
    return t;
  }

  void apply(HttpsURLConnection connection) throws IOException {
    if (file != null) {
      try {
        connection.setSSLSocketFactory(sockets());
      } catch (GeneralSecurityException e) {
        throw new IOException(file + ": " + e.getMessage(), e);
      }
    }
  }

  private synchronized SSLSocketFactory sockets() throws IOException, GeneralSecurityException {
    FileTime modified = Files.getLastModifiedTime(file);
    // The same factory as long as possible: connections are kept alive per factory.
    if (factory == null || !modified.equals(read)) {
      KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
      store.load(null, null);
      int n = 0;
      try (InputStream in = Files.newInputStream(file)) {
        Collection<? extends Certificate> all = CertificateFactory.getInstance("X.509").generateCertificates(in);
        for (Certificate c : all) {
          store.setCertificateEntry("ca" + n++, c);
        }
      }
      if (n == 0) {
        throw new GeneralSecurityException("holds no certificate");
      }
      TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      managers.init(store);
      SSLContext context = SSLContext.getInstance("TLS");
      context.init(null, managers.getTrustManagers(), null);
      factory = context.getSocketFactory();
      read = modified;
    }
    return factory;
  }
}
