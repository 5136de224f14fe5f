import NIOCore
import NIOPosix
import RelayBackup
import RelayControl
import RelayDirectory
import RelayModel
import RelayStorage

// Backups.
extension Operations {
    func backupCreate(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(BackupCreate.self, body) { request in
            let actor = try actor(caller, .backupCreate, "", request.reason)
            guard !backups.isBusy else { throw BackupError.running }
            // In front of the copy, so that the backup says of itself who asked for it.
            try await directory.audit(actor)
            let run = try backingUp { () throws(BackupError) in try backups.begin(.create) }
            note(.backupCreate, caller)
            return BackupCreate.Reply(run: run)
        }
    }

    func backupVerify(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(BackupVerify.self, body) { request in
            guard !request.backup.contains("/"), !request.backup.utf8.contains(0), request.backup != "..", !request.backup.isEmpty else {
                throw ControlError(
                    .badRequest, "“\(request.backup)” is no name of a backup",
                    hint: "chatctl backup list shows the names; a file elsewhere has a path")
            }
            return BackupVerify.Reply(run: try backingUp { () throws(BackupError) in try backups.begin(.verify(request.backup)) })
        }
    }

    func backupStatus(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(BackupStatus.self, body) { request in
            let (progress, result) = backups.look(at: request.run)
            var reply = BackupStatus.Reply(
                progress: progress.map { BackupStatus.Progress(phase: $0.phase.rawValue, fraction: $0.fraction) }, finished: nil, failure: nil)
            switch result {
            case .success(let done)?:
                let file = backups.folder.file(done.name)
                reply.finished = BackupStatus.Finished(
                    backup: BackupRecord(name: done.name, bytes: file.bytes, done.manifest), path: file.path, rows: done.manifest.rows,
                    findings: done.findings, milliseconds: Int(done.took.milliseconds))
            case .failure(let error)?: reply.failure = ControlError(error, backups.folder.path)
            case nil: break
            }
            return reply
        }
    }

    func backupList(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(BackupList.self, body) { _ in
            let folder = backups.folder
            let entries = try await NIOThreadPool.singleton.runIfActive { try folder.entries() }
            return BackupList.Reply(folder: folder.path, backups: entries.map { BackupRecord($0) })
        }
    }

    func backupPrune(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(BackupPrune.self, body) { request in
            guard request.keep != nil || request.days != nil, (request.keep ?? 1) >= 1, (1...36_500).contains(request.days ?? 1) else {
                throw ControlError(
                    .badRequest, "how many backups stay, or for how many days, must be said: at least 1",
                    hint: "chatctl backup prune --keep 7, or --days 30; the newest one stays in any case")
            }
            let (folder, dryRun) = (backups.folder, request.dryRun ?? false)
            let actor = try actor(caller, .backupPrune, "", request.reason)
            let gone = try await NIOThreadPool.singleton.runIfActive { try folder.expendable(keep: request.keep, days: request.days) }
            if !dryRun, !gone.isEmpty {
                try await directory.audit(actor)
                try await NIOThreadPool.singleton.runIfActive { for entry in gone { try folder.remove(entry) } }
                note(.backupPrune, caller)
            }
            return BackupPrune.Reply(removed: gone.map { BackupRecord($0) }, dryRun: dryRun)
        }
    }

    private func backingUp<Result>(_ body: () throws(BackupError) -> Result) throws(ControlError) -> Result {
        do throws(BackupError) { return try body() } catch { throw ControlError(error, backups.folder.path) }
    }
}
