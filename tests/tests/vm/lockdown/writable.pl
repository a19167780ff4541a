#!/usr/bin/perl
# writable: puts a program into each place that can be written, of all that are mounted, and runs it.
# Ends with 0 if one ran, 1 if none did.
open my $table, '<', '/proc/self/mountinfo' or die $!;
my %points = map { (split)[4] => 1 } <$table>;
open my $true, '<', '/usr/bin/true' or die $!;
binmode $true;
local $/;
my $program = <$true>;
my ($ran, $tried) = (0, 0);

sub run {
    my $path = shift;
    my $child = fork;
    if (!$child) {
        exec { $path } $path;
        print "$path: $!\n";
        exit 126;
    }
    waitpid $child, 0;
    $tried++;
    return if $?;
    print "$path: ran\n";
    $ran++;
}

$| = 1;
for my $point (sort keys %points) {
    $point =~ s/\\([0-7]{3})/chr oct $1/ge;
    if (-d $point) {
        my $path = "$point/evil-program";
        open my $file, '>', $path or next;
        print $file $program;
        close $file or next;
        chmod 0755, $path;
        run($path);
        unlink $path;
    } elsif (-f $point) {
        open my $file, '+<', $point or next;
        my ($mode, $kept) = ((stat $file)[2] & 07777, scalar <$file>);
        my $fill = sub { seek $file, 0, 0; truncate $file, 0; print $file shift; close $file };
        $fill->($program);
        chmod 0755, $point;
        run($point);
        open $file, '+<', $point or die $!;
        $fill->($kept);
        chmod $mode, $point;
    }
}
print "$ran of $tried ran\n";
exit($ran ? 0 : 1);
