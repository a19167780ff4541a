#!/usr/bin/perl
# sealed ACTION: does it in every directory of the root that is no state, and takes it back where it
# succeeded. Ends with 0 if it succeeded everywhere, 1 if nowhere, 42 if that depends.
my $action = shift;
my %passed_over = map { $_ => 1 } (
    qw(/dev /home /lost+found /proc /run /sys /tmp),
    # State, and single files that the image declares as mutable.
    qw(/srv/data /srv/volume /var/backups /var/cache /var/log /var/mail /var/tmp),
);
# These take a file.
my %of_files = map { $_ => 1 } qw(write truncate rename delete);
my ($done, $refused) = (0, 0);

# The first file in a directory, or beneath it.
sub file {
    my $in = shift;
    opendir my $directory, $in or return;
    my @paths = map { "$in/$_" } sort grep { !/^\.\.?$/ } readdir $directory;
    for (@paths) { return $_ if !-l && -f && -s _ < 1 << 22 }
    for (grep { !-l && -d && !$passed_over{$_} } @paths) {
        my $found = file($_);
        return $found if $found;
    }
    return;
}

# Each with what takes it back.
my %actions = (
    create   => sub { open(my $f, '>', "$_[0]/evil") && unlink "$_[0]/evil" },
    mkdir    => sub { mkdir("$_[0]/evil") && rmdir "$_[0]/evil" },
    symlink  => sub { symlink('/tmp', "$_[0]/evil") && unlink "$_[0]/evil" },
    write    => sub { open my $f, '>>', $_[1] },
    truncate => sub { open my $f, '+<', $_[1] },
    rename   => sub { rename($_[1], "$_[1].evil") && rename "$_[1].evil", $_[1] },
    delete   => sub { link($_[1], "$_[1].kept"); unlink($_[1]) && rename "$_[1].kept", $_[1] },
    chmod    => sub { chmod +(stat $_[1])[2] & 07777, $_[1] },
    chown    => sub { chown +(stat $_[1])[4, 5], $_[1] },
    utime    => sub { utime +(stat $_[1])[8, 9], $_[1] },
    # setxattr and removexattr
    setfattr => sub {
        my ($path, $name, $value) = ($_[1], 'user.evil', 'x');
        !syscall(188, $path, $name, $value, 1, 0) && !syscall(197, $path, $name);
    },
    setfacl  => sub {
        my ($name, $path) = ('system.posix_acl_access', $_[1]);
        my $entry = sub { pack 'SSL', @_ };
        my $acl = pack('L', 2) . $entry->(1, 6, ~0) . $entry->(2, 6, 65534) . $entry->(4, 4, ~0)
            . $entry->(16, 6, ~0) . $entry->(32, 4, ~0);
        my $mode = (stat $path)[2] & 07777;
        !syscall(188, $path, $name, $acl, length $acl, 0) && !syscall(197, $path, $name) && chmod $mode, $path
    },
);

opendir my $root, '/' or die $!;
my @tops = map { "/$_" } sort grep { !/^\./ } readdir $root;
for my $top (grep { !-l && -d && !$passed_over{$_} } @tops) {
    my $file = file($top);
    next if $of_files{$action} && !defined $file;
    # An empty directory is what there is to be changed.
    my $object = defined $file ? $file : $top;
    my $ok = $actions{$action}->($top, $object);
    print "$action $top ", defined $file ? "($file)" : '', ': ', $ok ? 'done' : $!, "\n";
    $ok ? $done++ : $refused++;
}
exit($refused == 0 ? 0 : $done == 0 ? 1 : 42);
