import './media';
import './chat';
import './recovery';
import './moderation';
import './entry';
import './accessibility';
import './firefox';
import './whip';
